"""A gateway for the tests of commands: a real desk on a real store behind a real control socket, in this process.

What commands ask of it is answered as ever; upstreams, labels and screening are stand-ins.
"""

from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from gateway.app.commands import Commands
from gateway.approvals import Approvals
from gateway.approvals.proofs import Proofs
from gateway.control import Control
from gateway.core.model import Approval, Call, Decision, Held, Labels, Proof, SinkKind, Tool
from gateway.errors import ApprovalError
from gateway.leaks import Leaks
from gateway.ports import Caller
from gateway.records import Records
from gateway.store import SqliteStore, open_store
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_tool, a_wait, an_ask
from tests.signing import APPROVERS
from tests.store.keep import AT_ONCE

LOCAL = an_ask(Proof.LOCAL)
CONFIG = """\
schema = 1
[gateway]
state = "state"
[upstreams.files]
command = "none"
owner = "o@example.com"
[upstreams.mail]
command = "none"
owner = "o@example.com"
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def labelled(tool: Tool | None = None) -> Tool:
    """A tool whose effect lands at `path`, and whose `text` is free."""
    of = tool or a_tool()
    return replace(of, labels=Labels(of.effect, {"path": SinkKind.PATH}, payload=("text",)))


class FakeReload:
    """Policies of which one may be held."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.on_held: list[Any] = []
        self.accepted: list[tuple[str, str]] = []

    def status(self) -> dict[str, Any]:
        return {"revision": "ab" * 32, "accepted_by": "os:ada", "accepted_how": "first seen", "held": self.rows}

    async def accept(self, word: str, by: str, how: str = "") -> Any:
        row = next((row for row in self.rows if row["digest"] == word), None)
        if row is None:
            raise ApprovalError(f"no policy `{word}` is held", "unknown")
        self.accepted.append((word, by))
        return SimpleNamespace(what=row["what"], digest=word, policy=None if row["what"] == "upstreams" else row)


@dataclass
class Room:
    """A gateway that runs, and what a test does with it."""

    folder: Path
    clock: FakeClock
    store: SqliteStore
    approvals: Approvals
    records: Records
    capture: pytest.CaptureFixture[str]
    sessions: list[Mapping[str, Any]]
    leaks: Leaks
    held: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)  # session -> its good origins
    reload: FakeReload = field(default_factory=FakeReload)

    async def asks(
        self, call: Call | None = None, tool: Tool | None = None, decision: Decision = LOCAL, **shown: Any
    ) -> Approval:
        """A call that waits for a person."""
        of, made = tool or labelled(), call or a_call(path="a.txt", text="hello")
        made, draft = a_wait(made, of, decision, made.arguments, self.clock.now())
        draft = replace(draft, shown=replace(draft.shown, **shown))
        caller: Caller = FakeCaller(budget=0)  # type: ignore[assignment]  # a fake of it
        held = await self.approvals.obtain(made, draft, caller)
        assert isinstance(held, Held)
        return held.approval

    async def row(self, row: Approval) -> Approval:
        """A row as it is now."""
        return await self.approvals.show(row.id)

    async def run(self, command: Any, *words: str) -> Ended:
        """Run one command to its end, in a thread of its own."""
        return await anyio.to_thread.run_sync(run_here, self.capture, command, [*words, "--config", str(self.folder)])


def run_here(capture: pytest.CaptureFixture[str], command: Any, words: Sequence[str]) -> Ended:
    """Run one command of `gateway.cli`."""
    try:
        code = command.run(list(words))
    except SystemExit as ended:
        code = int(ended.code or 0)
    return Ended(code, *capture.readouterr())


def configure(folder: Path) -> Path:
    """Write a configuration, and return its folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "upstreams.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "upstreams.toml").chmod(0o600)
    return folder


@asynccontextmanager
async def running(folder: Path, capture: pytest.CaptureFixture[str], clock: FakeClock | None = None) -> Any:
    """A gateway on this folder, until the block ends."""
    configure(folder)
    hands = clock or FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(folder / "state", AT_ONCE) as store, anyio.create_task_group() as tasks:
            approvals = Approvals(store, hands, KEY)
            await approvals.recover()
            leaks = Leaks(store, hands, {"key": KEY})
            room = Room(folder, hands, store, approvals, Records(store, hands), capture, [], leaks)
            commands = Commands(_gateway(room), None)  # type: ignore[arg-type]  # as much of both as commands ask
            control = Control(folder / "state", commands.handlers(), _nobody)
            await tasks.start(control.run, tasks)
            yield room
            tasks.cancel_scope.cancel()


async def _nobody(attachment: Any) -> None:
    raise AssertionError("no shim comes here")


def _gateway(room: Room) -> SimpleNamespace:
    async def clean(text: str, deadline: float) -> str:
        return text.replace("secret", "[R]")

    async def label(row: Approval, effect: Any, by: str) -> None:
        if row.shown.labelled:
            raise ApprovalError("it is labelled already", "settled")

    states = {"files": ("ready", ""), "mail": ("failed", "it ended")}
    catalogue = SimpleNamespace(
        upstreams=(),
        listing=lambda name: (),
        offered=lambda kind, only: (),
        of=lambda upstream, name: None,
        shelved=lambda upstream, kind: (),
    )
    return SimpleNamespace(
        reload=room.reload,
        settings=SimpleNamespace(upstreams=dict(states), approvers={}, clients={}, file=room.folder / "upstreams.toml"),
        clock=room.clock,
        store=room.store,
        records=room.records,
        approvals=room.approvals,
        proofs=Proofs(room.store, room.clock, KEY, APPROVERS),
        screener=SimpleNamespace(clean=clean, left_out={"files.PIN": "shorter than 8 characters"}),
        labels=SimpleNamespace(label=label),
        leaks=room.leaks,
        flows=SimpleNamespace(
            holds=lambda key: room.held.get(key, frozenset()), status=lambda: {"forms": 0, "most": 9, "told": ""}
        ),
        scanner=SimpleNamespace(loaded=True),
        monitor=SimpleNamespace(sessions=lambda: room.sessions),
        upstreams=SimpleNamespace(
            states=lambda: states, started=lambda name: ("2025-11-25", 0.25), catalogue=catalogue
        ),
    )
