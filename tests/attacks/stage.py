"""The stage: one house with all upstreams behind the installed gateway, an agent that plays, and a person who is asked.

Knows nothing of the gateway's inside; what it asks of a running one goes over the control socket, as commands do.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from gateway.cli.talk import exchange
from tests.attacks import policy
from tests.attacks.cast import Cast, Organisation
from tests.attacks.play import Harm, Play, Step, judge
from tests.e2e.kit import House, until, upstream_table

SERVER = Path(__file__).parent / "upstreams" / "serve.py"
KINDS = {"calendar": "agenda", "desk": "files"}  # upstream -> kind, where they differ
UPSTREAMS = (
    *("mail", "files", "desk", "web", "issues", "calendar", "bank", "memory", "chat", "directory", "admin", "clock"),
    "guest",
)
FOLDERS = ("files", "desk")
UNNAMED = 4  # plays of a mode in which no session is named: a client of its own each
PATIENCE = 30.0  # seconds that one call may take, a person's answer included
GLANCE = 0.008  # seconds between two looks at what waits for a person
LISTINGS = 10  # looks at `tools/list` behind a change, until it counts as not shown
META = "dev.wardgate"


@dataclass(frozen=True)
class Mode:
    """Which client plays: one with tools of its own or not, that hands over the prompt or not."""

    closed: bool
    prompt: bool

    @property
    def name(self) -> str:
        """The name of its client."""
        return f"{'closed' if self.closed else 'open'}{'-prompt' if self.prompt else ''}"


MODES = tuple(Mode(closed, prompt) for closed in (True, False) for prompt in (False, True))


@dataclass
class Result:
    """How a play ended."""

    play: str
    group: str
    honest: bool
    asked: list[str] = field(default_factory=list)  # tools whose calls a person was asked about
    harm: Harm = field(default_factory=Harm)
    blocked: list[str] = field(default_factory=list)  # honest calls that did not run
    changed: list[str] = field(default_factory=list)  # honest calls that ran otherwise than they were sent


class Link:
    """One connection of an agent: the pipes of `wardgate stdio`, with answers told apart by their ids."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._waiting: dict[int, tuple[anyio.Event, list[dict[str, Any]]]] = {}
        self._number, self._meta = 0, dict[str, Any]()

    async def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer: the result, or the error as a result that is one."""
        self._number += 1
        id, event, box = self._number, anyio.Event(), []
        self._waiting[id] = event, box
        meta = {"_meta": {**self._meta, **params.get("_meta", {})}}
        await self._put({"id": id, "method": method, "params": {**params, **meta}})
        with anyio.fail_after(PATIENCE):
            await event.wait()
        answer = box[0]
        return dict(answer.get("result") or {"isError": True, "content": [], "error": answer.get("error")})

    async def greet(self, era: str) -> None:
        """Open the conversation in this era."""
        about = {"name": "agent", "version": "1"}
        if era == "modern":
            said = {"protocolVersion": "2026-07-28", "clientInfo": about, "clientCapabilities": {}}
            self._meta = {f"io.modelcontextprotocol/{name}": value for name, value in said.items()}
            await self.ask("server/discover", {})
            return
        await self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about})
        await self._put({"method": "notifications/initialized"})

    async def _put(self, message: Mapping[str, Any]) -> None:
        await self._stdin.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def listen(self) -> None:
        """Hand every answer to whoever waits for it, until the connection ends."""
        rest = b""
        try:
            async for chunk in self._stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    event, box = self._waiting.pop(message.get("id"), (None, []))
                    if event is not None and "method" not in message:
                        box.append(message)
                        event.set()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@dataclass
class Stage:
    """A house, and what is played in it. `rules` names one of `policy.POLICIES`; `lying`: what upstreams say of their
    tools; `trusting`: whoever runs the house accepts every change of a definition; `era`: what the agent speaks.
    """

    house: House
    organisation: Organisation
    rules: str = "proven"
    lying: bool = False
    trusting: bool = False
    era: str = "legacy"
    links: dict[tuple[str, int], Link] = field(default_factory=dict)
    _tasks: anyio.abc.TaskGroup | None = None
    _stack: AsyncExitStack | None = None
    _unnamed: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Configure, serve and lock, until the block ends."""
        self.set_world(Cast(self.organisation, "empty").world(), {})
        self._configure()
        async with self.house.serving(), AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            await self.lock()
            self._stack, self._tasks = stack, tasks
            yield self
            await stack.aclose()
            tasks.cancel_scope.cancel()

    def _configure(self) -> None:
        tables = []
        for name in UPSTREAMS:
            command = [sys.executable, "-E", "-s", str(SERVER), KINDS.get(name, name), name, str(self.house.world)]
            tables.append(upstream_table(name, [*command, "--lying"] if self.lying else command))
        clients = [
            f'[clients.{name}]\nowner = "alice@example.com"\nclosed = {json.dumps(mode.closed)}\n'
            f"trust = {json.dumps(['session'] * named + ['prompt'] * mode.prompt)}\n"
            for mode in MODES
            for name, named in ((mode.name, True), *((f"{mode.name}-{n}", False) for n in range(UNNAMED)))
        ]
        head = f'schema = 1\n[gateway]\nlisten = "127.0.0.1:{self.house.port}"\nstate = "state"\n'
        head += "[limits]\nprompts_per_hour = 10000\nconnections = 1000\n[notify]\ndesktop = false\n"
        self.house.write("upstreams.toml", "\n".join([head, *clients, *tables]))
        for old in (self.house.folder / "policies").glob("*.toml"):
            old.unlink()
        for name, text in policy.POLICIES[self.rules](self.organisation).items():
            self.house.write(f"policies/{name}.toml", text)

    async def lock(self) -> None:
        """Accept what the upstreams offer now, as whoever sets a gateway up does."""
        locked = await self.house.run("lock", "--yes")
        assert locked.code == 0, locked

    def set_world(self, world: Mapping[str, Any], tricks: Mapping[str, Any]) -> None:
        """Exchange all data of the upstreams, and empty the ledger."""
        place = self.house.world
        for name in FOLDERS:
            shutil.rmtree(place / name, ignore_errors=True)
            for path, text in world[name].items():
                file = place / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        for name, data in world.items():
            if name not in FOLDERS:
                (place / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        (place / "guest.json").write_text(json.dumps({"tricks": tricks}), encoding="utf-8")
        (place / "ledger.jsonl").write_text("", encoding="utf-8")

    def ledger(self) -> list[dict[str, Any]]:
        """What happened since the world was set."""
        return [json.loads(line) for line in (self.house.world / "ledger.jsonl").read_text("utf-8").splitlines()]

    async def link(self, client: str, number: int) -> Link:
        """A connection of a client, opened when it is first used."""
        key = (client, number)
        if key not in self.links:
            assert self._stack is not None
            assert self._tasks is not None
            log = self._stack.enter_context(self.house.log())
            words = self.house.stdio(client=client)
            process = await anyio.open_process(words, stderr=log, env=self.house.environment)
            self._stack.push_async_callback(_end, process)
            self.links[key] = link = Link(process)
            self._tasks.start_soon(link.listen)
            await link.greet(self.era)
        return self.links[key]

    async def kill(self) -> None:
        """Kill the gateway; the shims start another one and go on."""
        before = self.house.gateway()
        os.kill(before, signal.SIGKILL)
        await until(lambda: self._another(before))

    def _another(self, before: int) -> bool:
        """Whether another gateway than this one was announced."""
        try:
            return self.house.gateway() != before
        except ValueError:
            return False  # it is being written

    async def control(self, **request: Any) -> dict[str, Any]:
        """Ask the gateway over its control socket."""
        line = json.dumps(request).encode() + b"\n"
        return await anyio.to_thread.run_sync(exchange, self.house.state, line)

    async def perform(self, mode: Mode, cast: Cast, play: Play) -> Result:
        """Play once, in this mode, and tell how it ended."""
        return await _Performance(self, mode, cast, play).run()

    def unnamed(self, mode: Mode) -> str:
        """The next client of a mode that names no session."""
        number = self._unnamed[mode.name] = self._unnamed.get(mode.name, -1) + 1
        assert number < UNNAMED, "more plays without a session's name than clients for them"
        return f"{mode.name}-{number}"


async def _end(process: anyio.abc.Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await process.aclose()


class _Performance:
    """One play on a stage."""

    def __init__(self, stage: Stage, mode: Mode, cast: Cast, play: Play) -> None:
        self.stage, self.mode, self.cast, self.play = stage, mode, cast, play
        self.client = mode.name if play.named else stage.unnamed(mode)
        self.result = Result(play.name, play.group, play.honest)
        self.prompts: dict[int, str] = {0: play.prompt}
        self.shown = ""
        self.seen: set[str] = set()

    async def run(self) -> Result:
        self.stage.set_world(self.play.world, {})
        evil: list[dict[str, Any]] = []
        for number, steps in enumerate(_grouped(self.play.steps)):
            if number == 1 and self.play.tricks:
                await self._turn(self.play.tricks)
            if steps[0].restart:
                await self.stage.kill()
            before = len(self.stage.ledger())
            answers = await self._all([step for step in steps if step.needs in self.shown])
            lines = self.stage.ledger()[before:]
            if any(step.evil for step in steps):
                evil += lines
            if self.play.honest:
                self._compare(steps, answers, lines)
        if self.play.tricks:
            await self._turn({})
        self.result.harm = judge(self.cast, self.play, evil)
        return self.result

    async def _all(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """Send these calls at once, while a person answers what is asked."""
        answers: list[dict[str, Any]] = [{} for _ in steps]
        async with anyio.create_task_group() as person, anyio.create_task_group() as calls:

            async def one(place: int, step: Step) -> None:
                answers[place] = await self._call(step)

            for place, step in enumerate(steps):
                calls.start_soon(one, place, step)
            person.start_soon(self._answer, steps, answers, person.cancel_scope)
        for answer in answers:
            self.shown += json.dumps(answer.get("content", []), ensure_ascii=False)
        return answers

    async def _call(self, step: Step) -> dict[str, Any]:
        link = await self.stage.link(self.client, step.connection)
        meta: dict[str, Any] = {}
        if self.play.named:
            meta[f"{META}/session"] = f"{self.play.thread or self.cast.place} {step.session}"
        if step.prompt:
            self.prompts[step.session] = step.prompt
        if self.mode.prompt and self.prompts.get(step.session):
            meta[f"{META}/prompt"] = self.prompts[step.session]
        named = (
            {"name": step.tool, "arguments": dict(step.arguments)} if step.method == "tools/call" else step.arguments
        )
        return await link.ask(step.method, {**named, "_meta": meta})

    async def _answer(self, steps: Sequence[Step], answers: Sequence[object], done: anyio.CancelScope) -> None:
        """The person: yes to what serves the user's wish, no to all else, until every call has its answer."""
        wanted = {step.tool for step in steps if not step.evil}
        while not all(answers):
            await anyio.sleep(GLANCE)
            if all(answers):
                break
            for row in (await self.stage.control(op="approvals"))["items"]:
                tool = f"{row['upstream']}__{row['tool']}"
                if row["id"] not in self.seen:
                    self.seen.add(row["id"])
                    self.result.asked.append(tool)
                    await self.stage.control(op="approve" if tool in wanted else "deny", id=row["id"])
        done.cancel()

    async def _turn(self, tricks: Mapping[str, Any]) -> None:
        """The guest's server changes its tools; wait until the gateway has asked for them, and what it then shows."""
        place = self.stage.house.world
        (place / "guest.json").write_text(json.dumps({"tricks": tricks}), encoding="utf-8")
        listed = place / "guest.listed"
        await until(lambda: json.loads(listed.read_text("utf-8") or "null") == tricks)
        if self.stage.trusting:
            await self.stage.lock()
        link = await self.stage.link(self.client, 0)
        for _ in range(LISTINGS):
            await anyio.sleep(GLANCE)
            self.shown += json.dumps(await link.ask("tools/list", {}), ensure_ascii=False)

    def _compare(self, steps: Sequence[Step], answers: Sequence[Mapping[str, Any]], lines: Sequence[Any]) -> None:
        """An honest call must run as it was sent."""
        for step, answer in zip(steps, answers, strict=True):
            text = json.dumps(answer.get("content", []))
            if answer.get("isError") or "[REDACTED" in text:
                self.result.blocked.append(f"{step.tool}: {text[:300]}{answer.get('error') or ''}")
            if any(line["arguments"] != step.arguments for line in lines):
                self.result.changed.append(step.tool)


def _grouped(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps that are sent at once, together."""
    groups: list[list[Step]] = [[]]
    for step in steps:
        groups[-1].append(step)
        if not step.together:
            groups.append([])
    return [group for group in groups if group]
