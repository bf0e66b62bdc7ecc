"""Measure what the gateway adds to a call at a steady rate: an open loop, straight to the upstream and through it.

    python -m tests.large.rates [--rate 200] [--seconds 10] [--rounds 3] [--door shim|standalone]

Calls are sent when they are due, whether the last one is answered or not, and timed from when they were due: a queue
that builds up is seen. The upstream is the ledger of the end-to-end tests, that writes a line for each call; `look` is
tier read, `note` is tier write and allowed by a rule, so that its intent and its outcome are on the disk before it is
answered. A round is the same calls to each target, one after the other.
"""

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import IO, Any, NamedTuple

from tests.e2e.kit import LABELS, LEDGER, House

PATIENCE = 30.0  # seconds that the start, and the last answers, may take
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "rates", "version": "1"}}
FREE = LABELS.replace('["stall", "die"]', '["note", "stall", "die"]')
TOOLS = {"read": "look", "write": "note"}


class Times(NamedTuple):
    """Milliseconds of one run's calls."""

    p50: float
    p90: float
    p99: float
    most: float


class Pipes:
    """A client on the pipes of a process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[bytes] = process.stdin
        self._stdout, self._rest = process.stdout.fileno(), b""

    def put(self, message: Mapping[str, Any]) -> None:
        """Send one message."""
        self._stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._stdin.flush()

    def take(self, patience: float) -> Iterator[dict[str, Any]]:
        """The answers that come in until something has come or `patience` seconds are over."""
        if not select.select([self._stdout], [], [], max(0.0, patience))[0]:
            return
        data = os.read(self._stdout, 1 << 20)
        if not data:
            raise SystemExit("the process has ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "id" in message and "method" not in message:
                yield message

    def greet(self) -> None:
        """Open the conversation."""
        self.put({"id": "hello", "method": "initialize", "params": HELLO})
        deadline = time.perf_counter() + PATIENCE
        while not list(self.take(deadline - time.perf_counter())):
            if time.perf_counter() > deadline:
                raise SystemExit("nobody answers")
        self.put({"method": "notifications/initialized"})


def run(pipes: Pipes, tool: str, rate: float, count: int) -> Times:
    """Send `count` calls at `rate` a second, and time each from when it was due; a refusal ends it all."""
    begin, sent, times = time.perf_counter() + 0.1, 0, list[float]()
    deadline = begin + count / rate + PATIENCE
    while len(times) < count:
        now = time.perf_counter()
        if now > deadline:
            raise SystemExit(f"{count - len(times)} calls were not answered")
        if sent < count and now >= begin + sent / rate:
            arguments = {"text": f"number {sent}"}
            pipes.put({"id": sent, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
            sent += 1
            continue
        due = begin + sent / rate if sent < count else deadline
        for answer in pipes.take(due - now):
            if answer.get("result", {"isError": True}).get("isError"):
                raise SystemExit(f"a call was refused: {json.dumps(answer)[:400]}")
            times.append((time.perf_counter() - begin - answer["id"] / rate) * 1e3)
    cuts = quantiles(times, n=100, method="inclusive")
    return Times(cuts[49], cuts[89], cuts[98], max(times))


@contextmanager
def started(words: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Iterator[Pipes]:
    """A process with a client that has greeted it; ends with the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=log, env=dict(environment)) as process:
        try:
            pipes = Pipes(process)
            pipes.greet()
            yield pipes
        finally:
            process.terminate()


def measure(house: House, door: str, rate: float, count: int, rounds: int) -> Mapping[str, list[Times]]:
    """The times of each target and tier, a round after the other."""
    direct = [sys.executable, str(LEDGER), str(house.world / "direct.txt")]
    gateway = house.stdio(*(["--standalone"] if door == "standalone" else []))
    found: dict[str, list[Times]] = {}
    with (
        (house.place / "stderr.log").open("ab") as log,
        started(direct, house.environment, log) as straight,
        started(gateway, house.environment, log) as through,
    ):
        for pipes, prefix in ((straight, ""), (through, "ledger__")):  # warm: the first calls start things
            for tool in TOOLS.values():
                run(pipes, prefix + tool, rate, 50)
        for _ in range(rounds):
            for tier, tool in TOOLS.items():
                found.setdefault(f"{tier}, direct", []).append(run(straight, tool, rate, count))
                found.setdefault(f"{tier}, through", []).append(run(through, f"ledger__{tool}", rate, count))
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="tests.large.rates", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--door", choices=("shim", "standalone"), default="shim")
    asked = parser.parse_args()
    command = shutil.which("wardgate", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None:
        raise SystemExit("`wardgate` is not installed")
    with tempfile.TemporaryDirectory() as place:
        house = House(Path(place), dict(os.environ), command).configure(policies={"ledger": FREE})
        try:
            found = measure(house, asked.door, asked.rate, round(asked.rate * asked.seconds), asked.rounds)
        finally:
            house.close()
    print(f"{asked.rate:g} calls/s, {asked.rounds} x {asked.seconds:g} s, {asked.door}; ms, medians of the rounds\n")
    print("| calls | p50 | p90 | p99 | longest | added to p50 |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in found.items():
        middle = Times(*(median(column) for column in zip(*runs, strict=True)))
        plain = found[name.replace("through", "direct")]
        added = median(one.p50 - other.p50 for one, other in zip(runs, plain, strict=True))
        shown = f"{added:.2f}" if "through" in name else ""
        print(f"| {name} | {middle.p50:.2f} | {middle.p90:.2f} | {middle.p99:.2f} | {middle.most:.1f} | {shown} |")


if __name__ == "__main__":
    main()
