"""Gather all that a decision on a call needs, as it is now. It decides nothing and changes nothing."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from gateway.core.canon import count_nodes
from gateway.core.decide import counted
from gateway.core.grants import pins
from gateway.core.model import Approval, Call, Facts, Finding, Standing, Tool
from gateway.core.outward import excused, leaving
from gateway.core.own import exact, holds_marker
from gateway.ports import House


def gather(
    house: House,
    call: Call,
    approval: Approval | None = None,
    found: Sequence[Finding] = (),
    lent: Collection[str] = (),
) -> Facts:
    """The facts of a call of a client's; with `approval`, for deciding again whether what was approved may run. `found`
    is what was redacted in its arguments, as far as they were looked at; `lent` are the grants that it has begun under.
    """
    tool = house.catalogue.find(call.exposed, call.method, call.context.only)
    upstream = tool.ref.upstream if tool else ""
    now, session = house.clock.now(), call.context.session
    begun = house.rounds.owns(call)  # taken for none other afterwards
    standing = _lent(house.approvals.standing(call, tool), lent)
    flow = house.flows.look(call, tool)
    return Facts(
        now=now,
        tool=tool,
        held=tool.held if tool else "",
        upstream_state=house.upstreams.state(upstream)[0] if tool else "stopped",
        protected=house.guard.reaches(call.arguments, upstream),
        secrets=_carried(house, call) or exact(found),
        markers=holds_marker(call.canonical),
        tainted=flow.tainted,
        private=flow.private,
        values=flow.values,
        sources=flow.sources,
        calls_10m=house.sessions.calls_10m(session, now),
        consequential=house.sessions.consequential(session),
        raised=house.sessions.raised(call, now),
        **_counted(house, call, tool, now, begun=begun),
        begun=begun,
        approval=approval,
        nodes=count_nodes(call.arguments),
        standing=standing,
        pins=pins(tool, call.arguments, house.key) if standing.grants and tool is not None else {},
        redacted=bool(found),
        carries=leaving(tool, excused(found, house.screener.allowed)) if found else (),
    )


def _lent(standing: Standing, lent: Collection[str]) -> Standing:
    """What people have said, with the grants that a call has used up itself as they were before: it goes on under them,
    unless they were revoked.
    """
    if not lent:
        return standing
    grants = (replace(one, used=one.used - 1) if one.id in lent else one for one in standing.grants)
    return replace(standing, grants=tuple(grants))


def _counted(house: House, call: Call, tool: Tool | None, now: datetime, *, begun: bool) -> Mapping[str, Any]:
    """What is counted of such calls now, where anything is; a later round of a call has been counted."""
    limits = counted(call, tool, house.policy()) if tool is not None and not begun else None
    return house.sessions.counted(call, tool, limits, now)._asdict() if limits and tool is not None else {}


def moved(house: House, call: Call, facts: Facts) -> bool:
    """Whether something that was counted for a decision is not so any more."""
    now = _counted(house, call, facts.tool, house.clock.now(), begun=facts.begun)
    return any(value != getattr(facts, name) for name, value in now.items())


def _carried(house: House, call: Call) -> tuple[Finding, ...]:
    """The gateway's own secrets and honeytokens in arguments, and in `_meta` that would pass on with them."""
    found, meta = house.screener.exact(call.arguments, call.canonical), call.context.meta
    beside = house.screener.exact(meta) if meta else ()
    return (*found, *(replace(one, place=f"_meta.{one.place}".rstrip(".")) for one in beside))
