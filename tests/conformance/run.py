"""Run the conformance suite against the SDK's everything-server, direct and through Wardgate, and compare.

`python -m tests.conformance.run --write-docs` writes what was seen into docs/conformance.md; without it, prints it.
Knows nothing of the gateway's inside. Expects no failure: the suite's own list of scored scenarios decides.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tests.conformance.forward import forwarding
from tests.conftest import settle
from tests.e2e.kit import House, free_port, listens, stop, until
from tests.e2e.real import PACKAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "conformance.md"
REVISIONS = ("2026-07-28", "2025-11-25")
MARK = "<!-- From here on it is written by `python -m tests.conformance.run --write-docs`. -->"
DEADLINE = 120.0  # seconds for one requirement set; each scenario has 30 of its own
LINE = re.compile(r"^[✓✗] (?P<scenario>\S+): (?P<passed>\d+) passed, (?P<failed>\d+) failed", re.MULTILINE)
UNSCORED = re.compile(r"^  [✓✗] (?P<scenario>\S+) \((?P<why>\S+)\)$", re.MULTILINE)

CLIENT = "suite"
CONFIGURATION = """\
schema = 1
[gateway]
listen = "127.0.0.1:{port}"
state = "state"
[clients.{client}]
owner = "alice@example.com"
[upstreams.everything]
url = "http://127.0.0.1:{upstream}/mcp"
owner = "alice@example.com"
expose = "bare"
per = "client"
elicit = "url"
"""
POLICY = """\
upstream = "everything"
owner = "alice@example.com"
[[tool]]
match = "*"
effect = "read"
output = { trust = "trusted" }
[[resource]]
match = "*"
output = { trust = "trusted" }
[[prompt]]
match = "*"
output = { trust = "trusted" }
[[rule]]
id = "everything.resources"
resources = "*"
decide = "allow"
[[rule]]
id = "everything.prompts"
prompts = "*"
decide = "allow"
[[rule]]
id = "everything.questions"
methods = ["sampling/createMessage", "roots/list", "elicitation/create", "completion/complete"]
decide = "allow"
"""


@dataclass(frozen=True)
class Row:
    """How one scenario ended; `unscored` says why it doesn't count, empty if it does."""

    passed: int
    failed: int
    warned: int = 0  # checks of what a server SHOULD do: they fail no run
    unscored: str = ""

    def __str__(self) -> str:
        warned = f", {self.warned} warned" if self.warned else ""
        return f"{self.passed} of {self.passed + self.failed}{warned}"


@dataclass(frozen=True)
class Run:
    """One requirement set against one server; an exit code of 0 means that every scored scenario passed."""

    code: int
    rows: Mapping[str, Row]
    said: str = field(repr=False)
    checks: Path = field(repr=False)

    def failures(self) -> list[str]:
        """The scored scenarios that failed, each with the checks that did."""
        failed = [name for name, row in self.rows.items() if row.failed and not row.unscored]
        return [f"{name}: {_why(self.checks, name)}" for name in failed]


@dataclass(frozen=True)
class Compared:
    """One requirement set, direct and through the gateway."""

    revision: str
    direct: Run
    through: Run


def _checks(folder: Path, scenario: str, *statuses: str) -> list[dict[str, Any]]:
    return [
        check
        for file in folder.glob(f"server-{scenario}-20*/checks.json")
        for check in json.loads(file.read_text(encoding="utf-8"))
        if check["status"] in statuses
    ]


def _why(folder: Path, scenario: str) -> str:
    found = _checks(folder, scenario, "FAILURE", "WARNING")
    return "; ".join(f"{check['id']} {check['status']}: {check.get('errorMessage', '')}" for check in found)


@dataclass(frozen=True)
class Suite:
    """The suite and the everything-server, where `make upstreams` puts them."""

    upstreams: Path

    @property
    def program(self) -> Path:
        """The script of the suite."""
        return self.upstreams / PACKAGES / "conformance" / "dist" / "index.js"

    @property
    def server(self) -> Path:
        """The folder that holds the everything-server as a module."""
        return self.upstreams / "everything"

    def missing(self) -> str:
        """What is not there, empty if nothing."""
        needed = (self.program, self.server / "mcp_everything_server", self.upstreams / "node" / "node")
        return ", ".join(str(path.relative_to(self.upstreams)) for path in needed if not path.exists())

    @asynccontextmanager
    async def everything(self, log: Path) -> AsyncIterator[int]:
        """The everything-server on a free port."""
        port = free_port()
        words = [sys.executable, "-m", "mcp_everything_server", "--port", str(port), "--log-level", "WARNING"]
        with log.open("w", encoding="utf-8") as said:
            process = await anyio.open_process(
                words, cwd=self.server, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            try:
                await until(lambda: process.returncode is not None or listens(port))
                assert process.returncode is None, f"the everything-server ended: see `{log}`"
                yield port
            finally:
                with anyio.CancelScope(shield=True):
                    await stop(process)

    async def run(self, port: int, revision: str, checks: Path) -> Run:
        """Run one requirement set; the checks of each scenario are written to a new folder."""
        words = [str(self.upstreams / "node" / "node"), str(self.program), "server", "--requirements", revision]
        words += ["--url", f"http://127.0.0.1:{port}/mcp", "--output-dir", str(checks)]
        with anyio.fail_after(DEADLINE):
            done = await anyio.run_process(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode()
        summary = said.partition("=== SUMMARY ===")[2]
        unscored = {found["scenario"]: found["why"] for found in UNSCORED.finditer(summary)}
        rows = {
            name: Row(
                int(found["passed"]),
                int(found["failed"]),
                len(_checks(checks, name, "WARNING")),
                unscored.get(name, ""),
            )
            for found in LINE.finditer(summary)
            if (name := found["scenario"])
        }
        return Run(done.returncode, rows, said, checks)


async def compare(suite: Suite, house: House, scratch: Path) -> list[Compared]:
    """Run both requirement sets direct and through a gateway in this house."""
    found = []
    async with suite.everything(house.place / "everything.log") as upstream:
        house.write("upstreams.toml", CONFIGURATION.format(port=house.port, upstream=upstream, client=CLIENT))
        house.write("policies/everything.toml", POLICY)
        token = await house.token(CLIENT)
        async with house.serving(), forwarding(house.port, token) as port:
            for revision in REVISIONS:
                direct = await suite.run(upstream, revision, scratch / revision / "direct")
                through = await suite.run(port, revision, scratch / revision / "through")
                found.append(Compared(revision, direct, through))
    return found


def table(compared: Compared) -> str:
    """What was seen of one requirement set, as Markdown."""
    lines = [f"## {compared.revision}", "", "| scenario | direct | through Wardgate | |", "| --- | --- | --- | --- |"]
    for name in sorted({**compared.direct.rows, **compared.through.rows}):
        direct, through = compared.direct.rows.get(name), compared.through.rows.get(name)
        unscored = (through or direct or Row(0, 0)).unscored
        note = f"not scored: {unscored}" if unscored else ""
        lines.append(f"| `{name}` | {direct or '-'} | {through or '-'} | {note} |")
    direct, through = _total(compared.direct), _total(compared.through)
    return "\n".join([*lines, f"| **scored checks that passed** | {direct} | {through} | |", ""])


def _total(run: Run) -> Row:
    scored = [row for row in run.rows.values() if not row.unscored]
    return Row(*(sum(getattr(row, count) for row in scored) for count in ("passed", "failed", "warned")))


def documented(found: Sequence[Compared]) -> str:
    """What docs/conformance.md must hold: its own words down to the mark, then the tables."""
    words = DOCS.read_text(encoding="utf-8").partition(MARK)[0]
    return "\n".join([words + MARK, "", *(table(compared) for compared in found)])


def made(place: Path, environment: Mapping[str, str]) -> House:
    """A house for the gateway, with the scanner's rules compiled."""
    command = str(Path(sys.executable).with_name("wardgate"))
    subprocess.run([command, "warm"], check=True, stdin=subprocess.DEVNULL, env=dict(environment))
    return House(place, dict(environment), command)


async def _main(write: bool) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        environment = {**os.environ, **settle(scratch / "home", scratch / "rules")}
        house = made(scratch, environment)
        found = await compare(Suite(ROOT / ".upstreams"), house, scratch / "suite")
        for compared in found:
            print(table(compared))
            for name, run in (("direct", compared.direct), ("through", compared.through)):
                print(f"{compared.revision} {name}: exit code {run.code}", *run.failures(), sep="\n  ")
    if write:
        DOCS.write_text(documented(found), encoding="utf-8")
    return max(run.code for compared in found for run in (compared.direct, compared.through))


if __name__ == "__main__":
    sys.exit(anyio.run(_main, "--write-docs" in sys.argv[1:]))
