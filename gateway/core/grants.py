"""Grants: what a person allowed for a while. Which calls one covers, and what may be given on a card. No I/O here.

A grant lifts only the reason of its card, with at least the proof, role and number of approvers that the call needs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.core.approval import Bound, Chosen, Voter, permitted
from gateway.core.canon import canonical, digest, keyed_digest
from gateway.core.model import (
    Approval,
    Call,
    Choice,
    Decision,
    Effect,
    Facts,
    Freeze,
    Grant,
    Labels,
    PersonalAction,
    Reason,
    Requirement,
    Surface,
    Tier,
    Tool,
)
from gateway.core.record import stamp
from gateway.core.sinks import UNPARSED

USUAL, USUAL_USES = timedelta(hours=1), 100  # of a grant for which nobody says another time or count
MOST_USES = 1_000
SCOPES = (Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION)
ONCE_ONLY = frozenset({Effect.MONEY, Effect.PRIVILEGE, Effect.CREDENTIAL, Effect.DESTRUCTIVE})
"""Effects for which a person vouches once: the approval of that call is all that there is to give."""
SHORTEST = 4  # characters of a value that can be vouched for


def labels_digest(labels: Labels) -> str:
    """What tells whether a tool's labels changed, wherever in the files they stand."""
    output: list[object] = [labels.output.trust.value, labels.output.private, labels.output.secrets.value]
    if labels.output.pii is not PersonalAction.OFF:  # off says nothing: digests that were made before it was known hold
        output.append(labels.output.pii.value)
    if labels.output.strict:
        output.append("strict")
    sinks = None if labels.sinks is None else {name: kind.value for name, kind in labels.sinks.items()}
    said = (labels.effect.value, sinks, sorted(labels.payload), sorted(labels.inert), dict(labels.known), output)
    return digest({"labels": [*said, labels.record, labels.fetches]})


def free_of(labels: Labels) -> tuple[str, ...]:
    """The arguments that a pattern may leave open: payload and inert ones that are no sink."""
    return tuple(sorted({*labels.payload, *labels.inert} - set(labels.sinks or {})))


def pins(tool: Tool, arguments: Mapping[str, Any], key: bytes) -> Mapping[str, str]:
    """Keyed digests of all arguments in which the effect lands: a pattern needs each of them to be the same."""
    free = free_of(tool.labels)
    return {name: keyed_digest(key, canonical(value)) for name, value in arguments.items() if name not in free}


def bound(tool: Tool, arguments: Mapping[str, Any], key: bytes, *, tainted: bool) -> Bound:
    """What a row is bound to besides the arguments as a whole, and what a grant from it pins."""
    return Bound(labels_digest(tool.labels), pins(tool, arguments, key), free_of(tool.labels), tainted)


def vouchable(decision: Decision) -> tuple[str, ...]:
    """The values for which a person might vouch on the card of this decision: those that lack a good origin."""
    if decision.reason is not Reason.UNPROVEN:
        return ()
    values = dict.fromkeys(one.value for one in decision.missing)
    return tuple(value for value in values if not value.startswith(UNPARSED) and len(value) >= SHORTEST)


def offered(row: Approval) -> tuple[Choice, ...]:
    """What can be chosen on a card, in the order in which it stands there.

    A tool that nobody labelled has to be labelled first: then the call is decided again.
    """
    asked, shown = row.requirement, row.shown
    choices = [Choice.ONCE]
    limit = row.reason in (Reason.BUDGET_EXCEEDED, Reason.LOOP)  # only exactly this call goes beyond one
    if row.method:  # grants and edits are of tools' calls
        return (*choices, Choice.DENY, *([Choice.BAR] if shown.named else []))
    if asked.approvers == 1 and shown.labelled:
        choices.append(Choice.ARGUMENTS)
        if any(name not in row.pins for name in row.free) and not limit:
            choices.append(Choice.PATTERN)
        if row.tier is not Tier.HIGH and shown.named and not limit:
            choices.append(Choice.SESSION)
        if shown.vouchable and shown.named and not shown.redacted and row.effect not in ONCE_ONLY:
            choices.append(Choice.VOUCH)
    if not shown.redacted:
        choices.append(Choice.EDIT)
    return (*choices, Choice.DENY, *([Choice.BAR] if shown.named else []))


def give(row: Approval, chosen: Chosen, voter: Voter, id: str, now: datetime, value: str = "") -> Grant:
    """The grant that a person gives on a card, with `value` for a value that is vouched for."""
    return Grant(
        id=id,
        scope=chosen.choice,
        approval=row.id,
        owner=voter.by,
        roles=frozenset(voter.roles),
        proof=voter.proof,
        principal=row.principal,
        client=row.client,
        session=row.session,
        upstream=row.upstream,
        tool=row.tool,
        exposed=row.exposed,
        definition=row.definition,
        labels=row.labels,
        tier=row.tier,
        effect=row.effect,
        reason=row.reason,
        rules=row.rules,
        obligations=row.obligations,
        created_at=now,
        expires_at=chosen.until or now + USUAL,
        uses=USUAL_USES if chosen.uses is None else chosen.uses,
        arguments_digest=row.arguments_digest,
        pins=row.pins,
        free=row.free,
        value=value,
        note=chosen.note,
    )


def stands(grant: Grant, now: datetime) -> bool:
    """Whether a grant counts at all: not ended, not expired, not used up; nor before it was given, for then the clock
    went back.
    """
    return not grant.ended and grant.created_at <= now < grant.expires_at and grant.used < grant.uses


def suffices(grant: Grant, asked: Requirement) -> bool:
    """Whether who gave a grant, and how that is known, is what an approval would need: proof, role, number."""
    return asked.approvers == 1 and asked.proof <= grant.proof and permitted(asked, grant.owner, grant.roles)


def covers(grant: Grant, call: Call, facts: Facts, tool: Tool, decision: Decision) -> bool:
    """Whether a grant turns the ask that was decided for a call into an allow."""
    # What tells most of them apart comes first: there may be a thousand.
    return _fits(grant, call, facts.pins) and _lifts(grant, decision) and _is_of(grant, call, facts, tool)


def _is_of(grant: Grant, call: Call, facts: Facts, tool: Tool) -> bool:
    """Whether a grant stands, and is of this caller and of the tool as it is now."""
    return (
        stands(grant, facts.now)
        and (grant.principal, grant.client) == (call.principal.id, call.client.name)
        and (grant.upstream, grant.tool, grant.exposed) == (tool.ref.upstream, tool.ref.name, call.exposed)
        and tool.surface is Surface.TOOLS
        and grant.definition == tool.digest
        and (grant.tier, grant.effect) == (tool.tier, tool.effect)
        and grant.labels == labels_digest(tool.labels)
    )


def _lifts(grant: Grant, decision: Decision) -> bool:
    """Whether what asks now is what asked on the card, and needs no more than was given there."""
    asked = decision.requirement
    return (
        asked is not None
        and decision.reason is grant.reason
        and decision.rules == grant.rules
        and suffices(grant, asked)
        and all(str(duty) in grant.obligations for duty in decision.obligations)
    )


def _fits(grant: Grant, call: Call, pinned: Mapping[str, str]) -> bool:
    """Whether the arguments are among those that were granted."""
    match grant.scope:
        case Choice.ARGUMENTS:
            return call.digest == grant.arguments_digest
        case Choice.PATTERN:
            return pinned == grant.pins and set(call.arguments) <= {*grant.pins, *grant.free}
        case Choice.SESSION:
            return call.context.session == grant.session and grant.tier is not Tier.HIGH
        case _:
            return False


def covers_row(grant: Grant, row: Approval) -> bool:
    """Whether a grant also settles another row that waits, as if its call came now."""
    same = all(
        getattr(grant, name) == getattr(row, name)
        for name in ("principal", "client", "upstream", "tool", "exposed", "definition", "labels", "tier", "effect")
    )
    lifts = (
        (grant.reason, grant.rules) == (row.reason, row.rules)
        and not row.method
        and suffices(grant, row.requirement)
        and set(row.obligations) <= set(grant.obligations)
    )
    match grant.scope:
        case Choice.ARGUMENTS:
            fits = row.arguments_digest == grant.arguments_digest
        case Choice.PATTERN:
            fits = row.pins == grant.pins and set(row.arguments) <= {*grant.pins, *grant.free}
        case Choice.SESSION:
            fits = row.session == grant.session and grant.tier is not Tier.HIGH
        case _:
            fits = False
    return same and lifts and fits


def vouched(call: Call, facts: Facts, tool: Tool, asked: Requirement, wanted: Sequence[str]) -> tuple[Grant, ...]:
    """The grants that together vouch for the `wanted` values of a call; none if one is left over.

    A vouch is of a value, a session and an effect, whichever tool it is used with, by somebody who may approve what is
    `asked`; a value that parses as nothing of its kind, or is too short, is never vouched for.
    """
    found: dict[str, Grant] = {}
    for grant in facts.standing.grants:
        mine = (grant.principal, grant.client, grant.session) == (
            call.principal.id,
            call.client.name,
            call.context.session,
        )
        fits = grant.scope is Choice.VOUCH and mine and grant.effect is tool.effect
        if fits and stands(grant, facts.now) and suffices(grant, asked):
            found[grant.value] = grant
    values = dict.fromkeys(wanted) if found else {}
    return tuple(found[value] for value in values) if values and all(value in found for value in values) else ()


def grant_item(grant: Grant) -> dict[str, Any]:
    """A grant as `grants --json` prints it."""
    return {
        "id": grant.id,
        "scope": grant.scope.value,
        "owner": grant.owner,
        "proof": grant.proof.word,
        "approval": grant.approval,
        "principal": grant.principal,
        "client": grant.client,
        "session": grant.session,
        "upstream": grant.upstream,
        "tool": grant.tool,
        "effect": grant.effect.value,
        "tier": grant.tier.value,
        "reason": grant.reason.value,
        "rules": list(grant.rules),
        "free": list(grant.free),
        "pinned": sorted(grant.pins),
        "value": grant.value,
        "created_at": stamp(grant.created_at),
        "expires_at": stamp(grant.expires_at),
        "uses": grant.uses,
        "used": grant.used,
        "ended": grant.ended,
        "note": grant.note,
    }


def freeze_item(freeze: Freeze) -> dict[str, Any]:
    """A freeze as `freeze --json` prints it."""
    return {
        "id": freeze.id,
        "upstream": freeze.upstream,
        "session": freeze.session,
        "tool": freeze.tool,
        "by": freeze.by,
        "at": stamp(freeze.at),
        "note": freeze.note,
    }
