"""Small fakes and real values that several tests share. Nothing here decides anything."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from msgspec import structs
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.approval import draft
from gateway.core.canon import canonical, digest, keyed_digest
from gateway.core.grants import bound
from gateway.core.model import (
    Approval,
    Call,
    Client,
    Context,
    Decision,
    Effect,
    Held,
    Kind,
    Labels,
    Principal,
    Proof,
    Reason,
    Record,
    Requirement,
    Resume,
    Shown,
    Tier,
    Tool,
    ToolRef,
    Verdict,
    Vote,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = b"k" * 32
DEADLINE = 10.0  # seconds after which a test that waits has failed


class FakeClock:
    """A clock whose hands the test turns; who sleeps on it is woken when its time has come."""

    def __init__(self, at: datetime = NOON) -> None:
        self.wall, self.ticks = at, 1000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self._changed = anyio.Event()

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    async def sleep(self, seconds: float) -> None:
        sleeper = (self.ticks + seconds, anyio.Event())
        self._sleepers.append(sleeper)
        self._changed.set()
        self._changed = anyio.Event()
        try:
            if seconds > 0:
                await sleeper[1].wait()
            else:
                await anyio.lowlevel.checkpoint()
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds
        for due, woken in self._sleepers:
            if due <= self.ticks:
                woken.set()

    async def asleep(self, count: int) -> None:
        """Wait until so many are asleep."""
        while sum(not woken.is_set() for _, woken in self._sleepers) < count:
            await self._changed.wait()


Elicit = Callable[[Approval], Awaitable[Vote]]


class FakeCaller:
    """A client face: what it can do, how patient it is, what it was told."""

    def __init__(self, asks: str = "none", budget: float = 25.0, elicit: Elicit | None = None) -> None:
        self.asks, self.budget, self._elicit = asks, budget, elicit
        self.limit, self.kind, self.opens = 0.0, "client", False
        self.answers_inline = asks == "elicit"
        self.opened: list[str] = []
        self.notices: list[str] = []
        self.noticed = anyio.Event()

    async def stands(self) -> bool:
        return True

    async def notice(self, text: str) -> None:
        self.notices.append(text)
        self.noticed.set()

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        raise AssertionError("nobody reports progress here")

    async def elicit(self, approval: Approval) -> Vote:
        assert self._elicit is not None, "this client can't be asked"
        return await self._elicit(approval)

    async def open(self, approval: Approval, url: str) -> None:
        self.opened.append(url)


def a_tool(name: str = "write_file", tier: Tier = Tier.WRITE, effect: Effect = Effect.WRITE) -> Tool:
    """A tool of the upstream `files`."""
    definition = {"name": name, "inputSchema": {"type": "object"}}
    return Tool(ToolRef("files", name), f"files__{name}", definition, digest(definition), effect, tier, Labels(effect))


def a_call(number: int = 1, *, resume: Resume | None = None, session: str = "s1", **arguments: Any) -> Call:
    """A call of `files__write_file`; `number` is in its id only."""
    given = arguments or {"path": "a.txt"}
    exact = canonical(given)
    return Call(
        id=f"d_{number:010d}",
        principal=Principal("os:alice", "os-user"),
        client=Client("claude-code", "claude-code 2.1"),
        exposed="files__write_file",
        arguments=given,
        canonical=exact,
        digest=keyed_digest(KEY, exact),
        at=NOON,
        context=Context(session),
        resume=resume,
    )


def an_ask(proof: Proof = Proof.CLIENT, **more: Any) -> Decision:
    """A decision that asks a person."""
    requirement = Requirement(proof=proof, **more)
    return Decision(Verdict.ASK, Reason.RULE, ("files.writes",), ("files.toml:12",), requirement=requirement)


def a_row(
    id: str, call: Call, tool: Tool, decision: Decision, arguments: Any = None, at: datetime = NOON, **more: Any
) -> Approval:
    """A row that waits for an answer to this call."""
    shown = Shown(
        known_by=call.principal.known_by,
        claimed=call.client.claimed,
        transport=call.context.transport,
        era=call.context.era,
        trace=call.context.trace,
        places=decision.places,
    )
    row = draft(call, tool, decision, arguments, at, shown, bound(tool, call.arguments, KEY, tainted=True))
    return replace(row, id=id, **more)


def a_wait(call: Call, tool: Tool, decision: Decision, arguments: Any, at: datetime = NOON) -> tuple[Call, Approval]:
    """A call and the draft of its row, as the path hands them to the ladder."""
    return call, a_row("", call, tool, decision, arguments, at)


async def a_waiting_row(
    approvals: Approvals, call: Call, tool: Tool, decision: Decision, shown: Shown | None, now: datetime
) -> Approval:
    """The row at which a call waits; its caller was told so."""
    made, asked = a_wait(call, tool, decision, call.arguments, now)
    held = await approvals.obtain(made, replace(asked, shown=shown or asked.shown), FakeCaller(budget=0))
    assert isinstance(held, Held)
    return held.approval


def a_record(number: int = 1, kind: Kind = Kind.INTENT, **more: Any) -> Record:
    """A record of a call."""
    record = Record(
        kind=kind,
        id=f"d_{number:010d}",
        at=NOON + timedelta(seconds=number),
        principal="os:alice",
        known_by="os-user",
        client="claude-code",
        session="s1",
        upstream="files",
        tool="write_file",
        tier="write",
        effect="write",
        verdict="allow",
        reason="rule",
        arguments_digest="00" * 32,
    )
    return structs.replace(record, **more)
