"""The life of an approval: which event leads where, who may vote, and which call a row covers.

Pure: the time, the votes so far and the approver's roles are arguments. No database and no clock here.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.model import Approval, ApprovalState, Call, Choice, Decision, Proof, Requirement, Shown, Tier, Tool
from gateway.core.record import stamp
from gateway.core.sinks import folded


class Event(Enum):
    """What can happen to an approval."""

    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    USE = "use"
    WITHDRAW = "withdraw"


TRANSITIONS: Mapping[tuple[ApprovalState, Event], ApprovalState] = {
    (ApprovalState.WAITING, Event.APPROVE): ApprovalState.APPROVED,
    (ApprovalState.WAITING, Event.DENY): ApprovalState.DENIED,
    (ApprovalState.WAITING, Event.EXPIRE): ApprovalState.EXPIRED,
    (ApprovalState.WAITING, Event.WITHDRAW): ApprovalState.WITHDRAWN,
    (ApprovalState.APPROVED, Event.USE): ApprovalState.USED,
    (ApprovalState.APPROVED, Event.EXPIRE): ApprovalState.EXPIRED,
    (ApprovalState.APPROVED, Event.WITHDRAW): ApprovalState.WITHDRAWN,
}


class IllegalEvent(LookupError):  # noqa: N818 - it names what happened, as the table does
    """An event that a state does not know."""


def next_state(state: ApprovalState, event: Event) -> ApprovalState:
    """The state that an event leads to; raises `IllegalEvent` for what the table doesn't hold."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalEvent(f"an approval that is {state.value} can't {event.value}") from None


class Ballot(Struct, frozen=True):
    """One person's answer, and how that person is known (`os:USER`, a signed-in name, or `client:NAME`)."""

    by: str
    proof: Proof
    approve: bool
    at: datetime
    note: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)  # what proves it: kind, key, document, signature


class Chosen(Struct, frozen=True):
    """What a person chose on a card; what a choice has no use for is left empty."""

    choice: Choice
    note: str = ""  # for the model (a denial), else for the record
    until: datetime | None = None  # of a grant
    uses: int | None = None  # of a grant
    values: tuple[str, ...] = ()  # that are vouched for
    arguments: Mapping[str, Any] | None = None  # an edit's
    also: tuple[str, ...] = ()  # rows that were listed on the card, and are settled with it
    would_cover: int | None = None  # recorded questions that a grant would have answered, as counted when it is given

    @property
    def approves(self) -> bool:
        """Whether it says yes to a call."""
        return self.choice not in (Choice.DENY, Choice.BAR)


class Terms(Struct, frozen=True):
    """What was signed of a choice."""

    choice: Choice
    until: datetime | None = None  # of a grant
    uses: int | None = None  # of a grant
    values: tuple[str, ...] = ()  # that are vouched for

    def admit(self, chosen: Chosen) -> bool:
        """Whether a choice is the one that was signed, or no more than `once` where more was."""
        if chosen.choice is Choice.ONCE:
            return self.choice not in (Choice.DENY, Choice.BAR, Choice.EDIT)
        return (chosen.choice, chosen.until, chosen.uses, chosen.values) == (
            self.choice,
            self.until,
            self.uses,
            self.values,
        )


class Voter(Struct, frozen=True):
    """Who answers, as the proof says and never an argument: a name, how it is known, roles, and what proves it."""

    by: str
    proof: Proof
    roles: AbstractSet[str] = frozenset()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    signed_for: AbstractSet[str] = frozenset()  # the rows whose statements were signed, for proof `signed`
    terms: Terms | None = None  # what was signed for them
    proofs: AbstractSet[Proof] | None = None  # by which this approver may say yes (`[approvers]`); None: by any

    @property
    def may_approve(self) -> bool:
        """Whether this approver's yes counts, as it is known here."""
        return self.proofs is None or self.proof in self.proofs


class Objection(str, Enum):
    """Why a vote does not count."""

    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    SETTLED = "settled"
    EXPIRED = "expired"
    PROOF = "proof-too-weak"
    NOT_PERMITTED = "not-permitted"
    REQUESTER = "requester"
    REPEATED = "already-voted"
    NOT_OFFERED = "not-offered"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    UNSIGNED = "unsigned"
    NOT_LISTED = "proof-not-listed"


def requirement_of(decision: Decision, tool: Tool) -> Requirement:
    """What an approval of this call must bring: as decided, or the strict default; at least `local` for tier high."""
    asked = decision.requirement or Requirement()
    if tool.tier is Tier.HIGH and asked.proof < Proof.LOCAL:
        return replace(asked, proof=Proof.LOCAL)
    return asked


class Bound(Struct, frozen=True):
    """What of a call a row is bound to besides its arguments; made by `core/grants.py`."""

    labels: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    tainted: bool = True


_NOTHING_SHOWN, _NOTHING_BOUND = Shown(), Bound()


def draft(
    call: Call,
    tool: Tool,
    decision: Decision,
    arguments: Any,
    now: datetime,
    shown: Shown = _NOTHING_SHOWN,
    bound: Bound = _NOTHING_BOUND,
) -> Approval:
    """A waiting row bound to exactly this call, without an id yet; `arguments` are redacted, and a card tells what is
    `shown` besides.
    """
    requirement = requirement_of(decision, tool)
    return Approval(
        id="",
        state=ApprovalState.WAITING,
        call=call.id,
        principal=call.principal.id,
        client=call.client.name,
        session=call.context.session,
        upstream=tool.ref.upstream,
        tool=call.name_of(tool),
        exposed=call.told,
        definition=tool.digest,
        arguments=arguments if isinstance(arguments, Mapping) else {},
        arguments_digest=call.digest,
        tier=tool.tier,
        effect=tool.effect,
        rule=decision.rules[0] if decision.rules else "",
        reason=decision.reason,
        requirement=requirement,
        obligations=tuple(sorted(str(duty) for duty in decision.obligations)),
        policy_revision=decision.policy_revision,
        created_at=now,
        expires_at=now + requirement.timeout,
        shown=shown,
        rules=decision.rules,
        labels=bound.labels,
        pins=bound.pins,
        free=bound.free,
        tainted=bound.tainted,
        asked_digest=call.digest,
        method=call.recorded_method,
    )


def covers(approval: Approval, asked: Approval) -> bool:
    """Whether a row is bound to exactly the call of a draft: who, from where, which request, which definition, which
    arguments (of a row that a person edited, those that were asked for).
    """
    return (
        approval.principal == asked.principal
        and approval.client == asked.client
        and approval.session == asked.session
        and approval.upstream == asked.upstream
        and approval.method == asked.method
        and approval.tool == asked.tool
        and approval.exposed == asked.exposed
        and approval.definition == asked.definition
        and approval.asked_digest == asked.arguments_digest
    )


def answerable_by_client(approval: Approval) -> bool:
    """Whether the agent's own client may ask its user: proof `client`, one approver, nobody named, not tier high."""
    asked = approval.requirement
    return asked.proof is Proof.CLIENT and asked.approvers == 1 and not asked.by and approval.tier is not Tier.HIGH


def objection(
    approval: Approval, given: Sequence[Ballot], ballot: Ballot, roles: AbstractSet[str] = frozenset()
) -> Objection | None:
    """Why this ballot doesn't count, or None.

    A denial needs to come from a permitted approver, but not with the proof that an approval needs. Where several have
    to approve, the requester is none of them, under whatever name.
    """
    if approval.state is not ApprovalState.WAITING:
        return Objection.EXPIRED if approval.state is ApprovalState.EXPIRED else Objection.SETTLED
    if ballot.at >= approval.expires_at:
        return Objection.EXPIRED
    if not permitted(approval.requirement, ballot.by, roles):
        return Objection.NOT_PERMITTED
    if not ballot.approve:
        return None
    # INVARIANT: the agent's own client, whoever sits at it, approves only what it may be asked about.
    if ballot.proof < approval.requirement.proof or (
        ballot.proof is Proof.CLIENT and not answerable_by_client(approval)
    ):
        return Objection.PROOF
    if any(same_person(earlier.by, ballot.by) for earlier in given):
        return Objection.REPEATED
    if approval.requirement.approvers > 1 and same_person(ballot.by, approval.principal):
        return Objection.REQUESTER
    return None


def person(name: str) -> str:
    """Who is behind a name, however that is known: `os:ada` and the approver `ada` are one person."""
    return name.removeprefix("os:")


def same_person(one: str, other: str) -> bool:
    """Whether two names may be of one person, however each is known and written: where several have to approve, what
    can't be told apart counts once.
    """
    return _alike(one) == _alike(other)


def _alike(name: str) -> str:
    kind, _, rest = name.partition(":")
    return folded(rest if kind in _KNOWN_BY else name)


_KNOWN_BY = ("os", "jwt", "client")  # what stands before the names of principals


def settle(approval: Approval, given: Sequence[Ballot], ballot: Ballot) -> Approval:
    """The row after a ballot to which there is no objection: denied, approved, or still waiting for more approvers."""
    if not ballot.approve:
        return _decided(approval, Event.DENY, ballot.by, ballot.proof, ballot.at, ballot.note)
    approvers = [*(earlier.by for earlier in given), ballot.by]
    if len({_alike(name) for name in approvers}) < approval.requirement.approvers:
        return approval
    proof = min(ballot.proof, *(earlier.proof for earlier in given)) if given else ballot.proof
    return _decided(approval, Event.APPROVE, ", ".join(approvers), proof, ballot.at, ballot.note)


def _decided(approval: Approval, event: Event, by: str, proof: Proof, at: datetime, note: str) -> Approval:
    state = next_state(approval.state, event)
    return replace(approval, state=state, decided_by=by, decided_at=at, proof=proof, note=note)


def permitted(requirement: Requirement, by: str, roles: AbstractSet[str]) -> bool:
    """Whether the requirement's list of approvers, where it has one, names this person or one of the roles."""
    names = {by, person(by), *(f"role:{role}" for role in roles)}
    return not requirement.by or bool(requirement.by & names)


def item(approval: Approval) -> dict[str, Any]:
    """The row as `--json` prints it (`policy.md`, contracts of the command line)."""
    return {
        "id": approval.id,
        "state": approval.state.value,
        "call": approval.call,
        "upstream": approval.upstream,
        "tool": approval.tool,
        "arguments": approval.arguments,
        "arguments_digest": approval.arguments_digest,
        "principal": approval.principal,
        "client": approval.client,
        "session": approval.session,
        "tier": approval.tier.value,
        "effect": approval.effect.value,
        "rule": approval.rule,
        "reason": approval.reason.value,
        "proof_required": approval.requirement.proof.word,
        "approvers_required": approval.requirement.approvers,
        "created_at": stamp(approval.created_at),
        "expires_at": stamp(approval.expires_at),
        "decided_by": approval.decided_by,
        "proof": approval.proof.word if approval.proof is not None else "",
    }
