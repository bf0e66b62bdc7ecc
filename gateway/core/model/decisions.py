"""What is decided, on which facts, with which duties, and what a person must bring. Values only."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from gateway.core.model.calls import Tool
from gateway.core.model.vocabulary import (
    ApprovalState,
    Choice,
    Effect,
    ObligationKind,
    Proof,
    Reason,
    SinkKind,
    Tier,
    Verdict,
)

if TYPE_CHECKING:
    from gateway.core.model.answers import Finding  # which imports this module


class Obligation(Struct, frozen=True):
    """A duty that comes with a decision; `name` and `value` are used by set and drop."""

    kind: ObligationKind
    name: str = ""
    value: Any = None

    def __str__(self) -> str:
        value = f"={self.value!r}" if self.kind is ObligationKind.SET else ""
        return f"{self.kind.value} {self.name}{value}".strip()


NOBODY = "(nobody)"  # who may approve what different people would have to; no user and no approver is called so


class Requirement(Struct, frozen=True):
    """What an approval must bring: proof, who may give it (`user`, `role:NAME`; empty: anyone), how many, until
    when.
    """

    proof: Proof = Proof.LOCAL
    by: frozenset[str] = frozenset()
    approvers: int = 1
    timeout: timedelta = timedelta(minutes=10)

    def combine(self, other: "Requirement") -> "Requirement":
        """The stricter of both in every part."""
        both = self.by & other.by or frozenset({NOBODY})
        by = both if self.by and other.by else self.by | other.by
        return Requirement(
            max(self.proof, other.proof), by, max(self.approvers, other.approvers), min(self.timeout, other.timeout)
        )

    def within(self, given: "Requirement") -> bool:
        """Whether what is asked here is no more than what `given` was asked."""
        return (
            self.proof <= given.proof
            and self.approvers <= given.approvers
            and (not self.by or bool(given.by and given.by <= self.by))
        )


class Shown(Struct, frozen=True):
    """What a card tells besides the call itself: who and where, why it stopped, and where its values stood before."""

    known_by: str = ""  # how the requester is known: os-user | token | jwt
    claimed: str = ""  # what the client says of itself
    transport: str = ""
    era: str = ""
    trace: str = ""
    owner: str = ""  # of the upstream
    acts_as: str = ""  # whose authority the call uses
    places: tuple[str, ...] = ()  # file:line of the rules
    detail: str = ""  # why the rule, in the words of `explain`
    redacted: bool = False  # something in the arguments is not shown
    named: bool = True  # the session is one, and not only all that a principal does
    labelled: bool = True  # somebody said what the tool does
    proposed: str = ""  # the effect that is proposed for a tool that nobody labelled
    carried: tuple[Mapping[str, Any], ...] = ()  # argument values that stood in outputs: argument, source, length
    vouchable: tuple[str, ...] = ()  # sink values that nothing proves, canonical by kind
    unproven: bool = False  # as `Decision.unproven`
    before: str = ""  # what was decided on the tool before this question, in one line; empty: nothing
    preview: Mapping[str, str] = field(default_factory=dict)  # what the call would change: tool, text or why, digest


class Approval(Struct, frozen=True):
    """A question to a person, bound to exactly one call; `arguments` are redacted, the digest binds the real ones."""

    id: str
    state: ApprovalState
    call: str
    principal: str
    client: str
    session: str
    upstream: str
    tool: str
    exposed: str
    definition: str  # digest of the tool's definition
    arguments: Mapping[str, Any]
    arguments_digest: str
    tier: Tier
    effect: Effect
    rule: str
    reason: Reason
    requirement: Requirement
    obligations: tuple[str, ...]
    policy_revision: str
    created_at: datetime
    expires_at: datetime
    told: bool = False  # the caller was answered `pending`: the same call again attaches to this row
    decided_by: str = ""
    decided_at: datetime | None = None
    proof: Proof | None = None
    note: str = ""  # the reviewer's reason
    method: str = ""  # as `Record.method`
    shown: Shown = Shown()
    rules: tuple[str, ...] = ()  # all rules that asked; `rule` is the first
    labels: str = ""  # digest of the tool's labels
    pins: Mapping[str, str] = field(default_factory=dict)  # argument -> keyed digest: where the effect lands
    free: tuple[str, ...] = ()  # payload and inert arguments: what a pattern may leave open
    tainted: bool = True  # whether an untrusted output had been read in the session
    asked_digest: str = ""  # of the arguments that the agent asked for; a person may have edited them since
    follows: str = ""  # the row whose place it took, with other arguments
    followed_by: str = ""  # the row that took its place; `AGAIN`: the call is decided anew, its tool was labelled
    facts: Mapping[str, Any] = field(default_factory=dict)  # for its first record alone


AGAIN = "again"
RELEASE = "release"  # the method of a row that asks about the output of a call, and not about the call


class Grant(Struct, frozen=True):
    """What a person allowed for a while on one card. It turns an ask into an allow, and lifts nothing else.

    `scope` is one of ARGUMENTS, PATTERN, SESSION and VOUCH (then `value` is the sink value that is vouched for).
    """

    id: str
    scope: Choice
    approval: str  # the card that it came from
    owner: str  # who gave it, by the proof
    roles: frozenset[str]
    proof: Proof
    principal: str
    client: str
    session: str  # of the card; binding for SESSION and VOUCH
    upstream: str
    tool: str
    exposed: str
    definition: str
    labels: str
    tier: Tier
    effect: Effect
    reason: Reason  # of the card: what it lifts
    rules: tuple[str, ...]  # of the card: those that asked; none: the tier's default
    obligations: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    uses: int  # how often at most
    used: int = 0
    arguments_digest: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    value: str = ""
    note: str = ""
    ended: str = ""  # why it counts no more: revoked by NAME, frozen; empty while it stands


class Freeze(Struct, frozen=True):
    """What a person holds until it is let go: everything (no upstream, session or tool named), one upstream, one
    session, or one tool in one session.
    """

    id: str
    upstream: str
    session: str
    tool: str
    by: str
    at: datetime
    note: str = ""

    def holds(self, upstream: str, session: str) -> bool:
        """Whether a call of this upstream and session is held, whichever tool it is of."""
        return not self.tool and self.upstream in ("", upstream) and self.session in ("", session)


class Traced(Struct, frozen=True):
    """A value where a call's effect lands, or a link in what it carries, and the good origins that it was found in.

    `argument` is its top-level argument, `place` where in it; `value` is canonical by `kind`, and begins with
    `sinks.UNPARSED` where it is none of its kind. `origins` are words of `core/flow.py`: prompt, argument, trusted.
    """

    argument: str
    place: str
    kind: SinkKind
    value: str
    origins: frozenset[str] = frozenset()
    payload: bool = False


class Spend(Struct, frozen=True):
    """What a call takes from one budget, in millionths of its unit; only if no more than `most` is used with it.

    `scope` is whose it is: a session, a principal's day, or a day. What was used before `since` counts no more.
    """

    budget: str
    scope: str
    amount: int
    most: int
    since: datetime | None = None


class Standing(Struct, frozen=True):
    """What people have said that concerns a call now: what is held, what is barred, and what was granted."""

    frozen: str = ""
    barred: str = ""
    grants: tuple[Grant, ...] = ()
    note: str = ""  # what the person said who barred the tool: the model reads it


class Facts(Struct, frozen=True):
    """All that a decision needs besides the call: nothing else is looked at."""

    now: datetime
    tool: Tool | None
    upstream_state: str = "ready"  # ready | starting | restarting | failed | stopped | draining
    held: str = ""  # why the tool is held until a person accepts what it is now; empty: it is not
    protected: str = ""  # the protected path that a value resolves to; empty: none
    secrets: tuple["Finding", ...] = ()  # the gateway's own secrets and honeytokens in the arguments
    markers: bool = False  # the arguments hold `[REDACTED:kind:n]`
    tainted: bool = True
    private: bool = True
    values: tuple[Traced, ...] | None = None  # where the effect lands; None: nobody looked, and nothing is proven
    sources: tuple[str, ...] = ()  # whose outputs tainted the session: `upstream/tool`
    calls_10m: int = 0
    consequential: int = 0
    raised: str = ""  # the signal for which the session's calls above tier read are asked about; empty: none
    used: Mapping[str, int] = field(default_factory=dict)  # rule id -> allows of this principal in its rate window
    spent: Mapping[str, int] = field(default_factory=dict)  # budget id -> what is used of it, in millionths
    repeated: int = 0  # how often the same call was sent in the session
    refused: int = 0  # how often the same call was refused there
    begun: bool = False  # a later round of a call: what it takes of rates and budgets was taken with the first
    approval: Approval | None = None  # an approved row that is bound to exactly this call
    nodes: int = 0  # number of values in the arguments
    elicit: str = "block"  # what the upstream may ask people: block | form | url
    standing: Standing = Standing()
    pins: Mapping[str, str] = field(default_factory=dict)  # as `core/grants.pins`; only where grants are to be compared
    carries: tuple[str, ...] = ()  # secrets in arguments that leave, as `core/outward.leaving` tells them
    redacted: bool = False  # whether something was redacted in the arguments: names in them may be secrets too


class Decision(Struct, frozen=True):
    """What was decided, by which rules, with which duties, under which policy."""

    verdict: Verdict
    reason: Reason
    rules: tuple[str, ...] = ()  # ids of the rules that determined it
    places: tuple[str, ...] = ()  # "file:line" of each
    obligations: frozenset[Obligation] = frozenset()
    requirement: Requirement | None = None  # for ASK
    policy_revision: str = ""
    detail: str = ""  # for `explain`, never for the model
    authorised: Mapping[str, str] = field(default_factory=dict)  # who answers for an allow by rule
    phase: str = "call"  # call | execute: decided again after an approval
    uses: tuple[str, ...] = ()  # grants that it uses up, in the transaction that records the intent
    spends: tuple[Spend, ...] = ()  # what it takes of budgets, in the same transaction
    missing: tuple[Traced, ...] = ()  # the values that a rule found no good origin for
    unproven: bool = False  # a rule found no good origin for a value where the effect lands, whatever decided
