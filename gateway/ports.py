"""What `enforce` needs from the rest of the house, as Protocols. No implementation and no I/O here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from gateway.core.capture import Capture
from gateway.core.limits import Counted
from gateway.core.model import (
    Again,
    Approval,
    Call,
    Decision,
    Finding,
    Freeze,
    Held,
    Question,
    Record,
    Reply,
    Round,
    Screened,
    Spend,
    Standing,
    Tool,
    Traced,
    Vote,
)
from gateway.core.policy import Limits, Policy

Progress = Callable[[float, float | None, str | None], Awaitable[None]]


class Ears(Protocol):
    """Who hears what an upstream says while one call runs; every text is screened before it goes on."""

    wants_progress: bool

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """A progress notice for this call."""

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """A log notice; dropped unless the client wants to hear of that level."""


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> datetime:
        """Aware UTC wall time."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and deadlines."""


class Catalogue(Protocol):
    """What is known of all upstreams, by the name under which it is exposed."""

    def find(self, exposed: str, method: str = "tools/call", only: str = "") -> Tool | None:
        """The tool that a call of `method` is for, or None for a name that nothing offers; `only` names the one
        upstream that is looked at.

        Resources go by listing, then by template; a URI that is claimed by two upstreams is nobody's. A completion is
        found by the prompt or template that it refers to, and is a tool of surface METHODS named
        `completion/complete`.
        """

    def method(self, upstream: str, method: str) -> Tool:
        """What an upstream asks (`elicitation/create`, ...) as a tool of surface METHODS."""

    def of(self, upstream: str, name: str) -> Tool | None:
        """A tool by its upstream and the upstream's own name for it."""

    def nearest(self, exposed: str) -> str | None:
        """The most similar exposed name, for error messages."""


class Upstreams(Protocol):
    """The servers behind the gateway."""

    def state(self, upstream: str) -> tuple[str, str]:
        """State and its detail: ready | starting | restarting | failed | stopped | draining."""

    def timeout(self, upstream: str) -> float:
        """Seconds that a call of this upstream may take; waiting for a person doesn't count."""

    async def forward(self, tool: Tool, arguments: bytes, call: Call, ears: Ears, again: Again | None = None) -> Reply:
        """Send one call (`call.method`) and wait for its answer, at most `timeout(upstream)` seconds.

        `arguments` are the canonical bytes that were checked. Never raises for what an upstream does: the reply says
        it. Cancellation passes through after the upstream was told (`notifications/cancelled`). `again` goes on with a
        call that was `Asked`; a parked call that is gone is `Lost`, and nothing is sent.
        """

    def elicit(self, upstream: str) -> str:
        """What it may ask people, by its `elicit` key: block | form | url."""

    async def drop(self, parked: str) -> None:
        """Cancel a parked call at its upstream: nobody will come back with answers. One that is gone is no error."""


class Guard(Protocol):
    """Self-protection: step 0 of the path of a call."""

    def reaches(self, arguments: Mapping[str, Any], upstream: str) -> str:
        """The protected path that one of the values resolves to, or an empty string."""


class Screener(Protocol):
    """Finds secrets and redacts them; every failure withholds."""

    allowed: Callable[[str], bool]  # whether a person lets a finding pass, by its fingerprint; none that is exact

    async def screen(
        self, value: Mapping[str, Any], tool: Tool | None, deadline: float, *, tainted: bool = False
    ) -> Screened:
        """Screen a tools/call result (or an error as a mapping) on every surface, at the latest by `deadline`
        (monotonic). In a `tainted` session what is only called like a secret is redacted whatever the label's trust.

        The label of `tool` says what a finding leads to; the released value is still valid against its output schema.
        """

    async def redact(self, value: Any, deadline: float, tool: Tool | None = None) -> tuple[Any, tuple[Finding, ...]]:
        """A copy of any JSON value with every finding redacted, for records and cards, and what was found; raises
        `GatewayError` if it can't.

        `tool`: the upstream says it in a call of this tool, whose label speaks of personal data.
        """

    def exact(self, value: Any, sealed: bytes = b"") -> tuple[Finding, ...]:
        """The gateway's own secrets and honeytokens in any JSON value, here and now, as findings that block; `sealed`
        are its canonical bytes, where they are at hand. It needs no scanner, and never fails.
        """

    def completes(self, session: str, upstream: str, value: Mapping[str, Any]) -> tuple[Finding, ...]:
        """The exact secrets that a result, about to leave, completes with the end of what the session read before
        from the upstream. Where there are none, its own end is remembered.
        """

    def name_of(self, fingerprint: str) -> str:
        """The name under which an exact secret is known; empty for none."""

    def redacts_at_once(self, size: int) -> bool:
        """Whether `redact_now` may be called for a value of that many bytes as JSON."""

    def redact_now(self, value: Any) -> tuple[Any, tuple[Finding, ...]]:
        """As `redact`, here and now; for small values."""

    async def clean(self, value: Any, deadline: float) -> Any:
        """The first part of `redact`: the copy alone."""

    def clean_text(self, text: str) -> str:
        """A short text (progress, log notice) with every finding redacted; empty if it can't be screened now."""


class Records(Protocol):
    """The record: an append-only tree of exact bytes."""

    async def append(self, record: Record, consume: Sequence[str | Spend] = ()) -> bool:
        """Make a record durable; returns after it is on disk. Not interrupted by cancellation once it has begun.

        `consume` names an approval (approved -> used) and grants (used once more) that are used up in the same
        transaction, and what is taken of budgets, in which an intent also asks that nobody holds such calls; False,
        with nothing written, where one of these is not so any more. Raises `RecordError` if the record can't be made
        durable.
        """

    def queue(self, record: Record) -> None:
        """Hand over a record that need not be awaited. Never drops: raises `BusyError` when full, `RecordError` when
        broken.
        """

    def queue_small(self, record: Record, finish: Callable[[Record], Record]) -> None:
        """The same for a record of at most some KiB, which is finished and encoded a little later, on the loop; what
        fails there cuts the record short.
        """

    def owe(self, outcome: Record) -> None:
        """Keep the outcome of a call whose intent may stand on the record, and that could not be written now.

        It is written once, as soon as the disk takes it, unless the call has an outcome by then; at the latest the
        next start closes the intent as unknown.
        """


class Caller(Protocol):
    """The client face of one call, as far as the path needs it."""

    asks: str  # none | elicit (legacy server request) | input (InputRequiredResult) | input-silent (call again)
    budget: float  # seconds for which a call is held before it is answered as pending
    limit: float  # seconds after which this client is known to give up by itself; 0: not known
    kind: str  # what it calls itself, its transport, and whether it hears of progress: by which patience is learned
    opens: bool  # it can open an address that the gateway gives
    wants_progress: bool  # it gave a token for progress notices
    answers_inline: bool  # it can be asked by a server request while its call runs (legacy, with a way back)
    modern: bool  # it comes back with a handle where an answer is missing
    wants_logs: bool  # it wants to hear of log notices at all

    async def stands(self) -> bool:
        """Whether whoever calls would be let in now: a token may have been revoked while it waited."""

    async def notice(self, text: str) -> None:
        """A progress notice, if the client gave a token for it."""

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Pass an upstream's progress on."""

    async def log(self, level: str, data: Any, logger: str | None) -> None:
        """Pass a log notice on, if the client wants to hear of that level."""

    async def elicit(self, approval: Approval) -> Vote:
        """Ask the client's user with a server request (legacy era only) and wait for the answer."""

    async def open(self, approval: Approval, url: str) -> None:
        """Have the client open a row's card (where `opens`, legacy era); its answer says nothing of the call."""

    async def ask(self, question: Question) -> Mapping[str, Any]:
        """Put an upstream's question to the client (where `answers_inline`) and wait for the raw result.

        Raises `GatewayError` if the client refused or can't be asked; has no deadline of its own.
        """


class Approvals(Protocol):
    """Questions to people, and their answers."""

    async def resume(self, call: Call, caller: Caller) -> tuple[str, Approval] | None:
        """Take the handle of a second round: the call's first id and its approval, with the vote applied.

        Single use by compare-and-swap; None if it is unknown, used, expired or bound to another call.
        """

    def standing(self, call: Call, tool: Tool | None) -> Standing:
        """What people have said that concerns a call now: held, barred, granted. In memory, and at once."""

    async def obtain(
        self, call: Call, asked: Approval, caller: Caller, waiting: Approval | None = None
    ) -> Approval | Held:
        """Go on with `waiting` (a second round), or open (durable first) or attach to the row of the draft `asked`, put
        it on every door, and wait for an answer.

        Returns the settled row, or Held at the client's budget. A row whose arguments a person edited comes with those;
        one that is withdrawn and followed by `AGAIN` is to be decided anew. Waits are interrupted by cancellation; the
        row stays decidable.
        """

    async def spent(self, uses: Sequence[str]) -> None:
        """A recorded intent has used up these grants. Raises nothing but cancellation."""

    async def freeze(self, upstream: str, session: str, by: str, note: str) -> Freeze:
        """Hold one session at once, in memory before it is written down; raises `RecordError` if that can't be."""

    async def expire(self, approval: Approval) -> None:
        """Settle a row that can't be used any more (void, superseded), with its record."""


class Rounds(Protocol):
    """Calls that were asked something by their upstream, and wait for their modern client to come back."""

    async def open(self, call: Call, kept: Round, closing: Record) -> str:
        """Keep a round (durable before the handle leaves) and return its handle; raises `BusyError` over the limit of
        waiting rounds, `RecordError` if nothing can be kept.

        `closing` is the outcome that is recorded if nobody comes back in time.
        """

    def owns(self, call: Call) -> bool:
        """Whether a call comes back with a handle of this kind (not of an approval)."""

    async def take(self, call: Call) -> Round | None:
        """Use up the handle that the call came back with: once, by compare-and-swap, and only for the principal,
        client, session, method, name and digest of its client's arguments that it was given for. None for any other.
        """


class Sessions(Protocol):
    """Counters and state of sessions, kept in memory from what is enforced and committed."""

    def calls_10m(self, session: str, now: datetime) -> int:
        """Calls of the session in the last ten minutes."""

    def consequential(self, session: str) -> int:
        """Calls above tier read that were forwarded in the session."""

    def raised(self, call: Call, now: datetime) -> str:
        """The signal for which a call's session is asked about above tier read; empty for most sessions."""

    def counted(self, call: Call, tool: Tool, limits: Limits, now: datetime) -> Counted:
        """What is counted of a call as it stands now."""

    def saw(self, call: Call, tool: Tool, decision: Decision, rounds: int = 0) -> None:
        """Count a call that is about to be forwarded, and what its decision takes of rates and budgets; `rounds` says
        how often it was sent before.

        INVARIANT: it returns at once, and nothing is waited for between the decision and this: so no two calls can take
        what is there once.
        """

    def refused(self, call: Call, tool: Tool) -> None:
        """Count a call that was refused."""

    async def returned(self, spends: Sequence[Spend]) -> bool:
        """Take back what an intent that was not written would have spent; whether one of these is more than is left.

        Raises `RecordError`.
        """


class Flow(NamedTuple):
    """Where a session's data came from, and the values of a call: see the fields of `Facts`."""

    tainted: bool = True
    private: bool = True
    values: tuple[Traced, ...] | None = None
    sources: tuple[str, ...] = ()


class Flows(Protocol):
    """The flow of sessions: what tainted them, what their good origins are, what they wrote."""

    def look(self, call: Call, tool: Tool | None) -> Flow:
        """The flow of a call's session as it is now."""

    def sends(self, call: Call, tool: Tool) -> tuple[str, ...]:
        """A call is about to be forwarded; the digests of what it writes in a tainted session, for its record."""

    def made(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> tuple[str, ...]:
        """The same of what its result says that it made."""

    async def delivered(self, call: Call, tool: Tool, value: Mapping[str, Any]) -> None:
        """An output is about to leave; what that changes is durable on return. Raises `RecordError` if it can't be."""

    async def heard(self, call: Call, tool: Tool, said: Any, *, sure: bool = True) -> None:
        """The upstream of a running call is about to say something beside its result; as `delivered`. Not `sure`: it
        may be about another call.
        """


class Background(NamedTuple):
    """What a call above tier read was preceded by.

    `context`: `{"after": id, "outputs": [[id, digest], ...], "omitted": n}`, the outputs that were delivered in the
    turn, those of the client's other tools included; `after` is the call whose record lists the ones before, so that
    each output of a turn is listed once. `carried`: `{"argument": place, "source": id, "length": n}` for each argument
    value that stood in one of them as a whole token.
    """

    context: Mapping[str, Any]
    carried: tuple[Mapping[str, Any], ...]


class Turns(Protocol):
    """What the user asked for last in each session, and what was delivered there since. In memory, and bounded."""

    async def prompted(self, call: Call) -> None:
        """The client handed over its user's prompt with this call (`call.context.prompt`): recorded where it is new.

        Raises `RecordError` if it can't be recorded.
        """

    def turn(self, call: Call) -> tuple[str, str]:
        """The id of the record of the turn's prompt and the prompt's keyed digest; ("", "unknown") without one."""

    def before(self, call: Call) -> Background:
        """What was delivered before this call since the turn's prompt. To be asked once for a call."""

    async def carried(self, call: Call) -> tuple[Mapping[str, Any], ...]:
        """Which of its argument values stood in outputs of the session, as `Background.carried`; for a card. With
        `disguised` where it stood there in look-alike letters, with hidden characters, or encoded.
        """

    def delivered(self, call: Call, digest: str, data: bytes) -> None:
        """An output is about to leave: its digest as recorded, and the canonical bytes of what is released."""


class House(NamedTuple):
    """The rooms that the path goes through."""

    clock: Clock
    catalogue: Catalogue
    upstreams: Upstreams
    guard: Guard
    screener: Screener
    records: Records
    approvals: Approvals
    rounds: Rounds
    sessions: Sessions
    flows: Flows
    turns: Turns
    policy: Callable[[], Policy]
    key: bytes  # of the keyed digests
    capture: Capture
