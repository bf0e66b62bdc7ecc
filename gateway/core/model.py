"""The nouns of the gateway, each one frozen dataclass or enum, defined once.

Values only: nothing here reads a clock, a file or the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any


class Effect(str, Enum):
    """What a call does to the world (`policy.md`)."""

    READ = "read"
    WRITE = "write"
    EGRESS = "egress"
    MONEY = "money"
    PRIVILEGE = "privilege"
    CREDENTIAL = "credential"
    DESTRUCTIVE = "destructive"


class Tier(str, Enum):
    """How strictly a call is checked; it follows from the effect."""

    READ = "read"
    WRITE = "write"
    HIGH = "high"


class Verdict(IntEnum):
    """What is decided; verdicts combine by `max`."""

    ALLOW = 0
    ASK = 1
    BLOCK = 2

    @property
    def word(self) -> str:
        """The verdict as it stands in records."""
        return self.name.lower()


class Proof(IntEnum):
    """How an approver is known, weakest first (`approvals.md`)."""

    CLIENT = 0
    LOCAL = 1
    SIGNED = 2

    @property
    def word(self) -> str:
        """The proof as it stands in policies and records."""
        return self.name.lower()


class Outcome(str, Enum):
    """How a call ended: exactly one per call."""

    OK = "ok"
    ERROR = "error"
    BLOCKED = "blocked"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Release(str, Enum):
    """What of a result reached the caller."""

    FULL = "full"
    REDACTED = "redacted"
    WITHHELD = "withheld"


class Reason(str, Enum):
    """Why a decision or an outcome is what it is. Closed vocabulary: every member is documented in docs/reference.md."""

    # decided by policy
    RULE = "rule"  # a rule matched and decided
    TIER_DEFAULT = "tier-default"  # no rule spoke, the tier's default applies
    RULE_ERROR = "rule-error"  # a condition could not be evaluated
    RATE_EXCEEDED = "rate-exceeded"  # an allow rule's rate is used up: a person is asked
    REVIEW_OVERDUE = "review-overdue"  # the file's review_by has passed: an allow above tier read became ask
    UNPROVEN = "unproven"  # ask-unless-proven, and not proven
    ARGUMENTS_TOO_LARGE = "arguments-too-large"  # over the limits under which a condition can be evaluated
    OBLIGATION_UNMET = "obligation-unmet"  # an obligation that the gateway can't discharge
    # decided by fact
    SELF_PROTECTION = "self-protection"  # the call reaches the gateway's own files
    UNKNOWN_TOOL = "unknown-tool"  # no such tool in the catalogue
    UPSTREAM_DOWN = "upstream-down"  # its upstream is not connected: nothing was forwarded
    INVALID_ARGUMENTS = "invalid-arguments"  # arguments that are no JSON object, or can't be canonicalised
    # approvals
    APPROVED = "approved"  # a person approved exactly this call
    APPROVAL_DENIED = "approval-denied"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_PENDING = "approval-pending"  # nobody has answered yet; the row stays open
    APPROVAL_VOID = "approval-void"  # deciding again asked for more than was given, or the definition changed
    APPROVAL_USED = "approval-used"  # it was consumed by another call
    HANDLE_INVALID = "handle-invalid"  # a requestState that is unknown, used, expired or bound to another call
    # what broke
    BUSY = "busy"  # a limit or a queue is full
    RECORD_FAILED = "record-failed"  # the intent could not be recorded
    CLIENT_GONE = "client-gone"  # cancelled or disconnected before anything was forwarded
    SCANNER_FAILED = "scanner-failed"  # the output could not be screened and was withheld
    SECRET_FOUND = "secret-found"  # noqa: S105 - a reason code; the label says block, and a secret was found
    EXACT_SECRET = "exact-secret"  # noqa: S105 - a reason code; a secret of the gateway itself was in the output
    RESULT_INVALID = "result-invalid"  # the upstream's answer is no valid result, or can't stay valid once redacted
    UPSTREAM_ERROR = "upstream-error"  # the upstream answered with a protocol error
    UPSTREAM_LOST = "upstream-lost"  # sent, then lost: the outcome is unknown
    UPSTREAM_TIMEOUT = "upstream-timeout"  # sent, and not answered before the deadline: the outcome is unknown
    CANCELLED = "cancelled"  # the caller cancelled after it was forwarded: the outcome is unknown
    GATEWAY_STOPPED = "gateway-stopped"  # an intent left open by a crash, closed at the next start
    INTERNAL = "internal"  # the broad guard: something of ours broke


class SinkKind(str, Enum):
    """What kind of value an argument is, where the effect lands."""

    EMAIL = "email"
    URL = "url"
    HOST = "host"
    PATH = "path"
    ACCOUNT = "account"
    AMOUNT = "amount"
    ID = "id"
    TEXT = "text"


class Trust(str, Enum):
    """How far an output can be believed."""

    UNTRUSTED = "untrusted"
    NEUTRAL = "neutral"
    TRUSTED = "trusted"


class SecretAction(str, Enum):
    """What a label asks for when a secret is found in an output."""

    REDACT = "redact"
    ASK = "ask"
    BLOCK = "block"
    ALLOW = "allow"


class Decide(str, Enum):
    """What a rule decides."""

    ALLOW = "allow"
    ASK_UNLESS_PROVEN = "ask-unless-proven"
    ASK = "ask"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file of the user's."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and how that is known (`known_by`: os-user | token | jwt)."""

    id: str
    known_by: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Client:
    """The program that calls: its registered name (or `unknown`) and what it claims for itself, which proves nothing."""

    name: str = "unknown"
    claimed: str = ""

    @property
    def registered(self) -> bool:
        """Whether the user registered this client in `upstreams.toml`."""
        return self.name != "unknown"


@dataclass(frozen=True, slots=True)
class ToolRef:
    """A tool by its upstream's key in `upstreams.toml` and the upstream's own name for it."""

    upstream: str
    name: str

    def __str__(self) -> str:
        return f"{self.upstream}/{self.name}"


@dataclass(frozen=True, slots=True)
class OutputLabel:
    """What an output is: believed how far, private or not, and what a found secret leads to."""

    trust: Trust = Trust.UNTRUSTED
    private: bool = True
    secrets: SecretAction = SecretAction.REDACT


@dataclass(frozen=True, slots=True)
class Preview:
    """A read that shows what a call would change: tool name, and its argument <- argument of the call."""

    tool: str
    args: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the upstream's owner says of a tool in `policies/` (one `[[tool]]` entry, whole)."""

    effect: Effect = Effect.DESTRUCTIVE
    sinks: Mapping[str, SinkKind] | None = None  # None: every argument leaf is a sink
    payload: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)  # argument -> list name
    output: OutputLabel = OutputLabel()
    preview: Preview | None = None
    record: str = "full"  # full | digest
    fetches: bool = False
    at: Place | None = None  # None: nobody labelled it


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for something."""

    business: str
    technical: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as it is exposed: the upstream's definition, its digest, and what the labels make of it."""

    ref: ToolRef
    exposed_as: str
    definition: Mapping[str, Any]
    digest: str  # sha256 hex of the canonical definition
    effect: Effect
    tier: Tier
    labels: Labels
    owner: Owner | None = None

    @property
    def labelled(self) -> bool:
        """Whether somebody wrote a label for it."""
        return self.labels.at is not None


@dataclass(frozen=True, slots=True)
class Context:
    """Where a call comes from: session, transport, era, and the trace that it belongs to."""

    session: str
    transport: str = "stdio"  # stdio | http
    era: str = "modern"  # modern | legacy
    trace: str = ""  # traceparent, as sent
    connection: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # `_meta` that may pass on to the upstream


class Vote(str, Enum):
    """What a client brought back from a question put to its user."""

    APPROVE = "approve"
    DENY = "deny"
    CANCEL = "cancel"  # dismissed without an answer: the row stays open


@dataclass(frozen=True, slots=True)
class Resume:
    """The second round of a modern call: the handle that the gateway gave, and what the user answered (None: call again)."""

    handle: str
    vote: Vote | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one tool. `canonical` is what is checked, hashed and sent; `digest` is keyed (HMAC-SHA256 hex)."""

    id: str
    principal: Principal
    client: Client
    exposed: str
    arguments: Mapping[str, Any]
    canonical: bytes
    digest: str
    at: datetime
    context: Context
    resume: Resume | None = None


class ObligationKind(str, Enum):
    """What an allowed call owes."""

    REDACT = "redact"
    BLOCK_SECRETS = "block-secrets"
    RECORD_DIGEST = "record-digest"
    SET = "set"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty that comes with a decision; `name` and `value` are used by set and drop."""

    kind: ObligationKind
    name: str = ""
    value: Any = None

    def __str__(self) -> str:
        value = f"={self.value!r}" if self.kind is ObligationKind.SET else ""
        return f"{self.kind.value} {self.name}{value}".strip()


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an approval must bring: proof, who may give it (`user`, `role:NAME`; empty: anyone), how many, until when."""

    proof: Proof = Proof.LOCAL
    by: frozenset[str] = frozenset()
    approvers: int = 1
    timeout: timedelta = timedelta(minutes=10)

    def combine(self, other: "Requirement") -> "Requirement":
        """The stricter of both in every part."""
        if self.by and other.by:
            by = self.by & other.by or frozenset({"nobody"})
        else:
            by = self.by | other.by
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


class ApprovalState(str, Enum):
    """The life of an approval; the transitions are in `core/approval.py`."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Approval:
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


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision needs besides the call: nothing else is looked at."""

    now: datetime
    tool: Tool | None
    upstream_state: str = "ready"  # ready | starting | restarting | failed | stopped | draining
    upstream_detail: str = ""
    protected: str = ""  # the protected path that a value resolves to; empty: none
    tainted: bool = True
    private: bool = True
    calls_10m: int = 0
    consequential: int = 0
    used: Mapping[str, int] = field(default_factory=dict)  # rule id -> allows of this principal inside the rule's rate window
    approval: Approval | None = None  # an approved row that is bound to exactly this call
    nodes: int = 0  # number of values in the arguments


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by which rules, with which duties, under which policy."""

    verdict: Verdict
    reason: Reason
    rules: tuple[str, ...] = ()  # ids of the rules that determined it
    places: tuple[str, ...] = ()  # "file:line" of each
    obligations: frozenset[Obligation] = frozenset()
    requirement: Requirement | None = None  # for ASK
    policy_revision: str = ""
    detail: str = ""  # for `explain`, never for the model
    phase: str = "call"  # call | execute: decided again after an approval


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret that was found: its kind, where, and a keyed fingerprint. Never the secret."""

    kind: str
    place: str  # e.g. content[0].text, structuredContent.user.token
    fingerprint: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Screened:
    """What may leave: the value to release (None: withheld), what was found, and why it was withheld."""

    release: Release
    value: Mapping[str, Any] | None
    findings: tuple[Finding, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The upstream answered with a result."""

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The upstream answered with a JSON-RPC error."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """The call was provably not written to the upstream."""

    detail: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The call was written and no answer came: its outcome is unknown (reason: UPSTREAM_LOST or UPSTREAM_TIMEOUT)."""

    reason: Reason
    detail: str


Reply = Result | Failure | Unsent | Lost


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is the upstream's (screened) result or error."""

    value: Mapping[str, Any] | None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The call waits for a person: ask again with `handle` (modern), or tell the model that it is pending (None)."""

    approval: Approval
    handle: str | None = None
    ask: bool = False  # put the question to the client's user on this round


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is released: a policy refusal, an approval that ended, or something broke. `text` is for the model."""

    call: str
    verdict: Verdict
    reason: Reason
    text: str
    approval: Approval | None = None


Answer = Done | Held | Refused


class Kind(str, Enum):
    """What a record is of."""

    START = "start"
    STOP = "stop"
    POLICY = "policy"
    CATALOGUE = "catalogue"
    INTENT = "intent"  # a call is about to be forwarded
    OUTCOME = "outcome"  # a call ended
    APPROVAL = "approval"  # an approval was opened or settled
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the record. Everything in it is redacted before it gets here."""

    kind: Kind
    id: str  # the call's id (d_...), or the approval's or an id of its own (l_...)
    at: datetime
    principal: str = ""
    known_by: str = ""
    client: str = ""
    claimed: str = ""
    session: str = ""
    transport: str = ""
    era: str = ""
    trace: str = ""
    upstream: str = ""
    tool: str = ""
    definition: str = ""
    owner: str = ""
    tier: str = ""
    effect: str = ""
    verdict: str = ""
    reason: str = ""
    rules: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    policy_revision: str = ""
    approval: str = ""
    outcome: str = ""
    release: str = ""
    findings: tuple[Finding, ...] = ()
    arguments: Mapping[str, Any] | None = None
    arguments_digest: str = ""
    result_digest: str = ""
    detail: str = ""
    timings_us: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
