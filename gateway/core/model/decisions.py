"""What is decided, on which facts, with which duties, and what a person must bring. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.core.model.calls import Tool
from gateway.core.model.vocabulary import ApprovalState, Effect, ObligationKind, Proof, Reason, Tier, Verdict


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
    """What an approval must bring: proof, who may give it (`user`, `role:NAME`; empty: anyone), how many, until
    when.
    """

    proof: Proof = Proof.LOCAL
    by: frozenset[str] = frozenset()
    approvers: int = 1
    timeout: timedelta = timedelta(minutes=10)

    def combine(self, other: "Requirement") -> "Requirement":
        """The stricter of both in every part."""
        both = self.by & other.by or frozenset({"nobody"})
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


@dataclass(frozen=True, slots=True)
class Origin:
    """What records tell of the call that an approval was opened for, beside what the approval is bound to."""

    known_by: str = ""  # how the principal is known
    claimed: str = ""  # what the client says of itself
    transport: str = ""
    era: str = ""
    trace: str = ""
    owner: str = ""  # of the tool
    acts_as: str = ""


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
    method: str = ""  # as `Record.method`
    origin: Origin = Origin()
    place: str = ""  # "file:line" of the rule


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision needs besides the call: nothing else is looked at."""

    now: datetime
    tool: Tool | None
    upstream_state: str = "ready"  # ready | starting | restarting | failed | stopped | draining
    protected: str = ""  # the protected path that a value resolves to; empty: none
    tainted: bool = True
    private: bool = True
    calls_10m: int = 0
    consequential: int = 0
    used: Mapping[str, int] = field(default_factory=dict)  # rule id -> allows of this principal in its rate window
    approval: Approval | None = None  # an approved row that is bound to exactly this call
    nodes: int = 0  # number of values in the arguments
    elicit: str = "block"  # what the upstream may ask people: block | form | url


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
    authorised: Mapping[str, str] = field(default_factory=dict, compare=False)  # who answers for an allow by rule
    phase: str = "call"  # call | execute: decided again after an approval
