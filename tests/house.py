"""A house of fakes around the path of a call: each notes what it was asked to do, in one ordered list of effects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from msgspec.json import decode, encode
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter
from gateway.core.canon import canonical, digest, keyed_digest
from gateway.core.capture import Capture
from gateway.core.flow import Origins, trace, weighs
from gateway.core.grants import give
from gateway.core.limits import Counted
from gateway.core.model import (
    Act,
    Again,
    Approval,
    ApprovalState,
    Call,
    Choice,
    Client,
    Context,
    Decision,
    Finding,
    Freeze,
    Grade,
    Grant,
    Held,
    Kind,
    Labels,
    Principal,
    Proof,
    Question,
    Record,
    Release,
    Reply,
    Result,
    Resume,
    Screened,
    Spend,
    Standing,
    Surface,
    Tool,
    ToolRef,
    Vote,
)
from gateway.core.policy import Limits, Policy, parse
from gateway.core.risk import classify, labels_for, surface_labels
from gateway.enforce import Enforcer
from gateway.errors import GatewayError
from gateway.inquire import Inquiry
from gateway.ports import Background, Ears, Flow, House, Round

KEY = b"k" * 32
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

POLICY = """\
upstream = "up"
owner = "o@example.com"
[[tool]]
match = "read"
effect = "read"
[[tool]]
match = "write"
effect = "write"
[[tool]]
match = "send"
effect = "egress"
[[tool]]
match = "quiet"
effect = "read"
record = "digest"
[[tool]]
match = ["set", "spin"]
effect = "write"
[[rule]]
id = "up.set"
tools = "set"
decide = "allow"
set = { priority = "low" }
drop = ["bcc"]
[[rule]]
id = "up.blocked"
tools = "read"
when = 'has(args.bad)'
decide = "block"
"""


def policy_of(text: str = POLICY) -> Policy:
    """A policy of one file, with no problem in it."""
    policy, problems = parse({"up.toml": text})
    assert not [problem for problem in problems if problem.severity == "error"], problems
    return policy


OWN = ((b"the-own-key", "gateway-secret", "0" * 16), (b"the-honey", "honeytoken", "1" * 16))  # exact: word, kind, print
POLICY_OF_NOBODY = policy_of('owner = "o@example.com"\n')


def a_grant(row: Approval) -> Grant:
    """What a person gives on a row: for the same arguments, for a while."""
    return give(row, Chosen(Choice.ARGUMENTS), Voter("os:ada", Proof.LOCAL), "g_0000000001", row.created_at)


class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@dataclass
class FakeCatalogue:
    tools: dict[str, Tool] = field(default_factory=dict)

    def find(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        return self.tools.get(exposed)

    def method(self, upstream: str, method: str) -> Tool:
        ref = ToolRef(upstream, method)
        return classify(
            {}, ref, method, "", surface_labels(POLICY_OF_NOBODY, ref, Surface.METHODS), None, Surface.METHODS
        )

    def of(self, upstream: str, name: str) -> Tool | None:
        return next((tool for tool in self.tools.values() if tool.ref == ToolRef(upstream, name)), None)

    def nearest(self, exposed: str) -> str | None:
        return next(iter(self.tools), None)


@dataclass
class FakeUpstreams:
    effects: list[str]
    reply: Reply = field(default_factory=lambda: Result({"content": [{"type": "text", "text": "fine"}]}))
    up: str = "ready"
    sent: list[bytes] = field(default_factory=list)
    hang: anyio.Event | None = None  # set once a forwarded call hangs
    broken: Exception | None = None
    asks: list[Reply] = field(default_factory=list)  # what it answers before `reply`, one a round
    again: list[Again | None] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    may_elicit: str = "block"

    def elicit(self, upstream: str) -> str:
        return self.may_elicit

    async def drop(self, parked: str) -> None:
        self.effects.append("drop")
        self.dropped.append(parked)

    def state(self, upstream: str) -> tuple[str, str]:
        return self.up, ""

    def timeout(self, upstream: str) -> float:
        return 60.0

    async def forward(self, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None = None) -> Reply:
        self.effects.append("forward")
        self.sent.append(arguments)
        self.again.append(again)
        if self.broken is not None:
            raise self.broken
        if ears.wants_progress:
            await ears.progress(0.5, 1.0, "half a secret")
            await ears.progress(1.0, None, None)
            await ears.log("info", {"said": "a secret"}, "it")
        if self.asks:
            return self.asks.pop(0)
        if self.hang is not None:
            self.hang.set()
            await anyio.sleep_forever()
        return self.reply


@dataclass
class FakeGuard:
    path: str = ""

    def reaches(self, arguments: Mapping[str, Any], upstream: str) -> str:
        return self.path


@dataclass
class FakeScreener:
    effects: list[str]
    screened: Screened | None = None  # None: release unchanged
    unclean: bool = False
    tainted: list[bool] = field(default_factory=list)  # whether each result was of a tainted session
    pieces: tuple[Finding, ...] = ()  # what each result completes
    quick: bool = True  # arguments of reads are redacted while they run
    as_found: Finding = field(default_factory=lambda: Finding("fake", "somewhere", "f" * 16))
    allowed: Callable[[str], bool] = lambda fingerprint: False

    async def screen(
        self, value: Mapping[str, Any], tool: Tool | None, deadline: float, *, tainted: bool = False
    ) -> Screened:
        self.effects.append("screen")
        self.tainted.append(tainted)
        sealed = canonical(value)
        whole = Screened(Release.FULL, value, (), None, keyed_digest(KEY, sealed), sealed, value)
        return self.screened or whole

    def fail(self, *, quick: bool) -> None:
        """From now on nothing can be redacted, and it may be noticed late or not."""
        self.unclean, self.quick = True, quick

    async def redact(self, value: Any, deadline: float, tool: Tool | None = None) -> tuple[Any, tuple[Finding, ...]]:
        return self.redact_now(value)

    def redacts_at_once(self, size: int) -> bool:
        return self.quick

    def exact(self, value: Any, sealed: bytes = b"") -> tuple[Finding, ...]:
        return tuple(
            Finding(kind, "text", print_, True, Grade.EXACT, Act.BLOCKED)
            for word, kind, print_ in OWN
            if word in canonical(value)
        )

    def completes(self, session: str, upstream: str, value: Mapping[str, Any]) -> tuple[Finding, ...]:
        return self.pieces

    def name_of(self, fingerprint: str) -> str:
        return {print_: kind for _, kind, print_ in OWN}.get(fingerprint, "")

    def redact_now(self, value: Any) -> tuple[Any, tuple[Finding, ...]]:
        if self.unclean:
            raise GatewayError("the scanner fails")
        text = encode(value)
        findings = (self.as_found,) if b"secret" in text else ()
        return decode(text.replace(b"secret", b"[R]")), findings

    async def clean(self, value: Any, deadline: float) -> Any:
        return (await self.redact(value, deadline))[0]

    def clean_text(self, text: str) -> str:
        return text.replace("secret", "[R]")


@dataclass
class FakeRecords:
    effects: list[str]
    rows: list[Record] = field(default_factory=list)
    fails_at: dict[str, Exception] = field(default_factory=dict)  # kind of record -> what is raised
    usable: set[str] = field(default_factory=set)  # approvals that may be consumed
    spent: list[Spend] = field(default_factory=list)
    left: bool = True  # whether budgets have what is to be taken
    owed: list[Record] = field(default_factory=list)

    async def append(self, record: Record, consume: Sequence[str | Spend] = ()) -> bool:
        self._fail(record)
        spends = [one for one in consume if isinstance(one, Spend)]
        names = {one for one in consume if isinstance(one, str)}
        if not names <= self.usable or (spends and not self.left):
            return False
        self.usable -= names
        self.spent += spends
        self.effects.append(f"append {record.kind.value}")
        self.rows.append(record)
        return True

    def queue(self, record: Record) -> None:
        self._fail(record)
        self.effects.append(f"queue {record.kind.value}")
        self.rows.append(record)

    def queue_small(self, record: Record, finish: Callable[[Record], Record]) -> None:
        self._fail(record)
        self.effects.append(f"queue {record.kind.value}")
        self.rows.append(finish(record))

    def owe(self, outcome: Record) -> None:
        self.effects.append("owe outcome")
        self.owed.append(outcome)

    def _fail(self, record: Record) -> None:
        if record.kind.value in self.fails_at:
            raise self.fails_at[record.kind.value]

    def outcomes(self) -> list[tuple[str, str]]:
        """Outcome and reason of each call that ended, those that are owed last."""
        return [(row.outcome, row.reason) for row in (*self.rows, *self.owed) if row.kind is Kind.OUTCOME]


@dataclass
class FakeApprovals:
    effects: list[str]
    settle: ApprovalState | None = ApprovalState.APPROVED  # None: held
    resumable: tuple[str, Approval] | None = None
    given: Approval | None = None
    note: str = ""
    by: str = ""
    said: Standing = field(default_factory=Standing)
    edit: Any = None  # what a person makes of the row
    on_obtain: Any = None  # called before the answer comes: the world changes meanwhile

    async def resume(self, call: Call, caller: Any) -> tuple[str, Approval] | None:
        self.effects.append("resume")
        return self.resumable

    def standing(self, call: Call, tool: Tool | None) -> Standing:
        return self.said

    async def spent(self, uses: Sequence[str]) -> None:
        self.effects += [f"spent {id}" for id in uses if id.startswith("g_")]

    async def obtain(
        self, call: Call, asked: Approval, caller: Any, waiting: Approval | None = None
    ) -> Approval | Held:
        self.effects.append("obtain")
        row = waiting or replace(asked, id="a_0000000001")
        if self.on_obtain is not None:
            self.on_obtain()
        if self.settle is None:
            return Held(row)
        row = self.edit(row) if self.edit is not None else row
        self.given = replace(row, state=self.settle, note=self.note, decided_by=self.by, proof=Proof.LOCAL)
        return self.given

    async def freeze(self, upstream: str, session: str, by: str, note: str) -> Freeze:
        self.effects.append("freeze")
        self.said = replace(self.said, frozen=f"by {by}: {note}")
        return Freeze("f_1", upstream, session, "", by, START, note)

    async def expire(self, approval: Approval) -> None:
        self.effects.append("expire")


@dataclass
class FakeRounds:
    effects: list[str]
    kept: dict[str, Round] = field(default_factory=dict)
    closing: list[Record] = field(default_factory=list)
    bound: list[str] = field(default_factory=list)  # digests that handles were given for

    def owns(self, call: Call) -> bool:
        return call.resume is not None and call.resume.handle.startswith("r_")

    async def open(self, call: Call, kept: Round, closing: Record) -> str:
        self.effects.append("open round")
        handle = f"r_{len(self.closing) + 1}"
        self.kept[handle] = kept
        self.bound.append(call.digest)
        self.closing.append(closing)
        return handle

    async def take(self, call: Call) -> Round | None:
        self.effects.append("take round")
        return self.kept.pop(call.resume.handle, None) if call.resume is not None else None


@dataclass
class FakeSessions:
    seen: list[str] = field(default_factory=list)
    raising: str = ""
    counts: Counted = field(default_factory=Counted)
    changes: list[Counted] = field(default_factory=list)  # what is counted after each time it is asked for
    exceeded: bool = False  # what the store says of budgets
    denied: list[str] = field(default_factory=list)
    given_back: list[Spend] = field(default_factory=list)

    def raised(self, call: Call, now: datetime) -> str:
        return self.raising

    def calls_10m(self, session: str, now: datetime) -> int:
        return 0

    def consequential(self, session: str) -> int:
        return 0

    def counted(self, call: Call, tool: Tool, limits: Limits, now: datetime) -> Counted:
        counts = self.counts
        self.counts = self.changes.pop(0) if self.changes else counts
        return counts

    def saw(self, call: Call, tool: Tool, decision: Decision, rounds: int = 0) -> None:
        self.seen.append(call.id)

    def refused(self, call: Call, tool: Tool) -> None:
        self.denied.append(call.id)

    async def returned(self, spends: Sequence[Spend]) -> bool:
        self.given_back += spends
        return self.exceeded


@dataclass
class FakeFlows:
    """Of one session, tainted unless a test says otherwise, with the origins that a test puts there."""

    effects: list[str]
    tainted: bool = True
    origins: Origins = field(default_factory=Origins)
    read: list[str] = field(default_factory=list)  # the calls whose outputs, or whose upstreams' words, left
    marks: tuple[str, ...] = ()
    broken: Exception | None = None
    sure: list[bool] = field(default_factory=list)  # of what was said beside results, whether it was of that call

    def look(self, call: Call, tool: Tool | None) -> Flow:
        matters = self.tainted and tool is not None and weighs(tool)
        return Flow(self.tainted, True, trace(tool, call.arguments, self.origins) if matters and tool else None)

    def sends(self, call: Call, tool: Tool) -> tuple[str, ...]:
        return self.marks

    def made(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> tuple[str, ...]:
        return self.marks

    async def delivered(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> None:
        await self.heard(call, tool, value)

    async def heard(self, call: Call, tool: Tool, said: Any, *, sure: bool = True) -> None:
        if self.broken is not None:
            raise self.broken
        self.sure.append(sure)
        self.read.append(call.id)


@dataclass
class FakeTurns:
    prompts: list[str | None] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)  # what was delivered: id of the call, digest

    async def prompted(self, call: Call) -> None:
        self.prompts.append(call.context.prompt)

    def turn(self, call: Call) -> tuple[str, str]:
        return ("l_0000000001", "digest of a prompt") if self.prompts else ("", "unknown")

    def before(self, call: Call) -> Background:
        listed, self.outputs = self.outputs, []
        return Background({"after": "", "outputs": listed, "omitted": 0}, ())

    async def carried(self, call: Call) -> tuple[Mapping[str, Any], ...]:
        return ()

    def delivered(self, call: Call, digest: str, data: bytes) -> None:
        self.outputs.append((call.id, digest))


class FakeCaller:
    """A client that can't be asked, unless it is given answers."""

    asks = "none"
    budget = 1.0
    limit = 0.0
    kind = ""
    opens = False
    wants_progress = False
    answers_inline = False
    modern = False
    wants_logs = True
    let_in = True

    def __init__(self) -> None:
        self.heard: list[tuple[float, float | None, str | None]] = []
        self.logged: list[tuple[str, Any, str | None]] = []
        self.asked: list[Question] = []
        self.answers: dict[str, Any] = {}  # method -> result, or an exception

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        self.logged.append((level, data, logger))

    async def ask(self, question: Question) -> Mapping[str, Any]:
        self.asked.append(question)
        answer = self.answers[question.method]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, anyio.Event):
            answer.set()
            await anyio.sleep_forever()
        found: Mapping[str, Any] = answer
        return found

    async def stands(self) -> bool:
        return self.let_in

    async def notice(self, text: str) -> None:
        pass

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.heard.append((done, total, message))

    async def elicit(self, approval: Approval) -> Vote:
        return Vote.CANCEL

    async def open(self, approval: Approval, url: str) -> None:
        raise AssertionError("nothing is opened here")


class Model:
    """A whole house of fakes and the enforcer in it."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.effects: list[str] = []
        self.clock = FakeClock()
        self.policy = policy or policy_of()
        self.catalogue = FakeCatalogue(
            {f"up__{name}": self.tool(name) for name in ("read", "write", "send", "quiet", "set", "spin")}
        )
        self.upstreams = FakeUpstreams(self.effects)
        self.guard = FakeGuard()
        self.screener = FakeScreener(self.effects)
        self.records = FakeRecords(self.effects, usable={"a_0000000001"})
        self.approvals = FakeApprovals(self.effects)
        self.rounds = FakeRounds(self.effects)
        self.sessions = FakeSessions()
        self.flows = FakeFlows(self.effects)
        self.turns = FakeTurns()
        house = House(
            self.clock,
            self.catalogue,
            self.upstreams,
            self.guard,
            self.screener,
            self.records,
            self.approvals,
            self.rounds,
            self.sessions,
            self.flows,
            self.turns,
            lambda: self.policy,
            KEY,
            Capture(KEY),
        )
        self.house = house
        self.enforcer = Enforcer(house, Inquiry(house, patience=0.05, most_rounds=3))
        self.caller = FakeCaller()

    def tool(self, name: str, **definition: Any) -> Tool:
        """A tool of the upstream `up`, with the labels that the policy gives it."""
        ref, raw = ToolRef("up", name), {"name": name, "inputSchema": {"type": "object"}, **definition}
        labels: Labels = labels_for(self.policy, ref)
        return classify(raw, ref, f"up__{name}", digest(raw), labels, None)

    async def call(self, name: str, resume: Resume | None = None, **arguments: Any) -> Any:
        """Take one call along the path."""
        return await self.enforcer.handle(a_call(name, arguments, resume), self.caller)


def a_call(name: str, arguments: Mapping[str, Any] | None = None, resume: Resume | None = None) -> Call:
    """A call of a tool of the upstream `up`."""
    sealed = canonical(arguments or {})
    return Call(
        id="d_0000000001",
        principal=Principal("os:ada", "os-user"),
        client=Client("claude-code", "claude-code 2"),
        exposed=f"up__{name}",
        arguments=arguments or {},
        canonical=sealed,
        digest=keyed_digest(KEY, sealed),
        at=START,
        context=Context(session="s_1"),
        resume=resume,
    )


def found(kind: str = "github-pat") -> Sequence[Finding]:
    """A finding, as a record holds it."""
    return (Finding(kind, "content[0].text", "f" * 16),)
