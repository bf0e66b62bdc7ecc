"""The kill loop: kill -9 at a random moment under load, start again, and hold the record against what the upstream did.

    python -m tests.e2e.kill_loop [--rounds 1000] [--seed N]

What must be true after each start (promises R1 and R3):
- every effect in the upstream's ledger has its intent on the record, and no call had its effect twice;
- every outcome that a client was told is on the record as it was told;
- every call whose intent is there has one outcome; a call with outcome `ok` has its effect;
- the record is whole.
Of reads only the second half counts: a crash may lose those of the last batch.
"""

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from gateway.core.model import Kind, Outcome
from gateway.core.record import decode
from gateway.schema import STORE_NAME
from gateway.verifying import verify_folder
from tests.conftest import settle
from tests.e2e.kit import House, Wire, stop, until

ROOT = Path(__file__).parents[2]
COMMAND = (str(Path(sys.executable).with_name("wardgate")),)
WRITERS, READERS = 6, 2  # calls in flight at a time
MOST = 80  # answers after which the kill comes at the latest, and a moment
MOMENT = 0.1  # seconds, at most
STRETCH = 50  # rounds after which the program says how it goes
START = 1.5  # seconds in which a start may be cut off
EFFECTS = ("note", "wipe")  # tools whose calls change something
POLICY = """\
upstream = "ledger"
owner = "alice@example.com"
[[tool]]
match = "look"
effect = "read"
[[tool]]
match = "note"
effect = "write"
inert = ["text"]
[[tool]]
match = "wipe"
effect = "destructive"
inert = ["text"]
[[rule]]
id = "ledger.free"
tools = ["note", "wipe"]
decide = "allow"
"""


class WrongRecordError(AssertionError):
    """The record does not say what happened."""


class Load:
    """Calls on one pair of pipes, several in flight, until the pipes break. `told` takes what was answered: the text of
    a call -> whether it was answered as done.
    """

    def __init__(
        self, pipe: Wire, name: str, meta: Mapping[str, Any], told: dict[str, bool], chance: random.Random
    ) -> None:
        self._pipe, self._name, self._meta, self._told, self._chance = pipe, name, meta, told, chance
        self._waiting: dict[str, anyio.Event] = {}
        self._wanted = chance.randrange(MOST)
        self.enough, self.over = anyio.Event(), anyio.Event()

    async def run(self) -> None:
        """Keep calls in flight and read their answers."""
        async with anyio.create_task_group() as tasks:
            for worker in range(WRITERS + READERS):
                tasks.start_soon(self._call, worker)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    self._take(await self._pipe.take())
            self.enough.set()
            self.over.set()
            tasks.cancel_scope.cancel()

    async def _call(self, worker: int) -> None:
        number = 0
        while True:
            tool = "look" if worker >= WRITERS else self._chance.choice(EFFECTS)
            text = f"{self._name}-{worker}-{number}"
            number += 1
            self._waiting[text] = answered = anyio.Event()
            params = {"name": f"ledger__{tool}", "arguments": {"text": text}, "_meta": dict(self._meta)}
            with suppress(anyio.BrokenResourceError):  # who reads finds out too
                await self._pipe.put({"jsonrpc": "2.0", "id": text, "method": "tools/call", "params": params})
            await answered.wait()

    def _take(self, answer: Mapping[str, Any]) -> None:
        text = str(answer["id"])
        self._told[text] = "result" in answer and not answer["result"].get("isError", False)
        self._wanted -= 1
        if self._wanted <= 0:
            self.enough.set()
        self._waiting.pop(text).set()


@dataclass
class Account:
    """What the record says of the calls so far, by their texts; `look` reads on where it stopped."""

    state: Path
    calls: dict[str, str] = field(default_factory=dict)  # id of a call with an intent -> its text
    outcomes: dict[str, list[str]] = field(default_factory=dict)  # id -> how it ended
    _seen: int = 0

    def look(self, effects: Sequence[str], told: Mapping[str, bool]) -> None:
        """Hold the record against the effects in the ledger and what clients were told; raises `WrongRecordError`."""
        self._read_on()
        verified = verify_folder(self.state)
        wrong = [] if verified.ok else [f"the record is not whole: {verified.detail}"]
        happened = Counter(effects)
        ended = {text: self.outcomes.get(id, []) for id, text in self.calls.items()}
        wrong += [f"{text}: an effect without an intent" for text in happened if text not in ended]
        wrong += [f"{text}: {times} effects" for text, times in happened.items() if times > 1]
        wrong += [f"{text}: the outcomes are {found}" for text, found in ended.items() if len(found) != 1]
        for text, done in told.items():
            if (ended.get(text) == [Outcome.OK.value]) != done:
                wrong.append(f"{text}: answered as {'done' if done else 'not done'}, recorded as {ended.get(text)}")
        wrong += [
            f"{text}: recorded as ok, and never happened"
            for text, found in ended.items()
            if found == [Outcome.OK.value] and text not in happened
        ]
        if wrong:
            raise WrongRecordError("\n".join(wrong[:20]))

    def _read_on(self) -> None:
        with closing(sqlite3.connect(self.state / STORE_NAME)) as db:
            found = db.execute("SELECT body FROM record WHERE seq > ? ORDER BY seq", (self._seen,)).fetchall()
        for (body,) in found:
            self._seen, record = decode(body)
            if record.kind is Kind.INTENT and record.tier != "read":
                self.calls[record.id] = str((record.arguments or {})["text"])
            elif record.kind is Kind.OUTCOME and record.tier != "read":
                self.outcomes.setdefault(record.id, []).append(record.outcome)


@dataclass
class KillLoop:
    """A house whose gateway is killed again and again; `command` starts it, in place of `wardgate`."""

    house: House
    chance: random.Random
    command: Sequence[str] = COMMAND
    told: dict[str, bool] = field(default_factory=dict)  # of writes
    rounds: int = 0

    def __post_init__(self) -> None:
        self.house.configure(policies={"ledger": POLICY})
        self.account = Account(self.house.state)

    @property
    def effects(self) -> list[str]:
        """The texts of the calls that changed something, as the upstream saw them."""
        lines = (line.split(" ", 1) for line in self.house.forwarded)
        return [text for tool, text in lines if tool in EFFECTS]

    @property
    def unknown(self) -> int:
        """Calls that a kill cut off."""
        return sum(found == [Outcome.UNKNOWN.value] for found in self.account.outcomes.values())

    async def run(self, rounds: int) -> None:
        """So many rounds, and a last start; raises `WrongRecordError` as soon as something is wrong."""
        for _ in range(rounds):
            if self.chance.random() < 0.1:
                await self.cut_a_start()
            await self.round()
        async with self.gateway() as pipe:
            await self.greet(pipe)

    async def round(self) -> None:
        """Start, look at what the kill before left, put on load, and kill."""
        async with self.gateway() as pipe:
            meta = await self.greet(pipe)
            self.rounds += 1
            told: dict[str, bool] = {}
            load = Load(pipe, f"r{self.rounds}", meta, told, self.chance)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(load.run)
                await load.enough.wait()
                with anyio.move_on_after(self.chance.random() * MOMENT):
                    await load.over.wait()
                await end(pipe)
            self.told |= {text: done for text, done in told.items() if int(text.split("-")[1]) < WRITERS}
        await until(lambda: not self.house.ledgers())  # what was on its way to it has happened or never will

    async def cut_a_start(self) -> None:
        """Kill a gateway while it starts."""
        async with self.gateway() as pipe:
            with anyio.move_on_after(self.chance.random() * START):
                await pipe.process.wait()
            await end(pipe)
        await until(lambda: not self.house.ledgers())

    async def greet(self, pipe: Wire) -> Mapping[str, Any]:
        """Wait for the start, and hold the record against what happened; returns the `_meta` of each call."""
        try:
            meta = await pipe.greet("modern")
        except anyio.EndOfStream:
            raise WrongRecordError(f"the gateway did not start again: {self.house.said()[-2000:]}") from None
        await anyio.to_thread.run_sync(self.account.look, self.effects, self.told)
        return meta

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Wire]:
        """The pipes of a gateway that is a process of its own."""
        words = [*self.command, "stdio", "--standalone", "--config", str(self.house.folder), "--client", "tester"]
        with self.house.log() as log:
            process = await anyio.open_process(words, stderr=log, env=self.house.environment, cwd=ROOT)
            try:
                yield Wire(process)
            finally:
                with anyio.CancelScope(shield=True):
                    await stop(process)


async def end(pipe: Wire) -> None:
    """Kill -9."""
    pipe.process.kill()
    await pipe.process.wait()


def main() -> None:
    """Run the loop by hand, in a folder that is removed after it, and say what was seen."""
    options = argparse.ArgumentParser(prog="python -m tests.e2e.kill_loop", description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    given = options.parse_args()
    print(f"{given.rounds} rounds, seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wardgate-kill-") as place:
        home = Path(place)
        environment = {**os.environ, **settle(home / "home", home / "rules")}
        subprocess.run([*COMMAND, "warm"], check=True, stdin=subprocess.DEVNULL, env=environment)
        loop = KillLoop(House(home, environment, COMMAND[0]), random.Random(given.seed))
        while loop.rounds < given.rounds:
            anyio.run(loop.run, min(STRETCH, given.rounds - loop.rounds))
            seen = f"{len(loop.effects)} effects, {len(loop.told)} answers, {loop.unknown} calls cut off"
            print(f"{loop.rounds} rounds: {seen}; the record says what happened", flush=True)


if __name__ == "__main__":
    main()
