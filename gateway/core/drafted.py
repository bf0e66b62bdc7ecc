"""The row that would ask a person for a call: what a card tells of it, and what it is bound to. No I/O here."""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from gateway.core.account import Trail
from gateway.core.approval import draft
from gateway.core.grants import bound, vouchable
from gateway.core.grounds import asked_facts
from gateway.core.model import Approval, Shown, Surface
from gateway.core.proposal import propose

CLAIMED = 128  # characters of what a client says of itself, on a card


def drafted(trail: Trail, now: datetime, key: bytes) -> Approval:
    """The row that would ask a person for this call: what a card tells, and what it is bound to."""
    call, (tool, decision) = trail.call, trail.decided()
    shown = Shown(
        known_by=call.principal.known_by,
        claimed=call.client.claimed[:CLAIMED],
        transport=call.context.transport,
        era=call.context.era,
        trace=call.context.trace,
        owner=tool.owner.business if tool.owner is not None else "",
        acts_as=tool.acts_as,
        places=decision.places,
        detail=decision.detail,
        redacted=bool(trail.findings),
        named=call.context.session != call.context.seat,
        labelled=tool.labelled or tool.surface is not Surface.TOOLS,
        proposed="" if tool.labelled else propose(tool).value,
        carried=trail.carried,
        vouchable=() if trail.findings else vouchable(decision),
        unproven=decision.unproven,
        preview=trail.preview,
    )
    ties = bound(tool, call.arguments, key, tainted=trail.tainted)
    # INVARIANT: a row holds no name of an argument that was redacted; without its pins no pattern is offered on it.
    if not isinstance(trail.arguments, Mapping) or trail.arguments.keys() != call.arguments.keys():
        ties = replace(ties, pins={}, free=())
    row = draft(*(call, tool, decision, trail.arguments, now), shown, ties)
    return replace(row, facts=asked_facts(trail.facts, call, redacted=shown.redacted))
