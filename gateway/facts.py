"""Gather all that a decision on a call needs, as it is now. It decides nothing and changes nothing."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.canon import count_nodes
from gateway.core.grants import pins
from gateway.core.model import Approval, Call, Facts, Finding
from gateway.core.outward import excused, leaving
from gateway.core.own import exact, holds_marker
from gateway.ports import House


def gather(house: House, call: Call, approval: Approval | None = None, found: Sequence[Finding] = ()) -> Facts:
    """The facts of a call of a client's; with `approval`, for deciding again whether what was approved may run. `found`
    is what was redacted in its arguments, as far as they were looked at.
    """
    tool = house.catalogue.find(call.exposed, call.method, call.context.only)
    upstream = tool.ref.upstream if tool else ""
    now, session = house.clock.now(), call.context.session
    standing = house.approvals.standing(call, tool)
    return Facts(
        now=now,
        tool=tool,
        upstream_state=house.upstreams.state(upstream)[0] if tool else "stopped",
        protected=house.guard.reaches(call.arguments, upstream),
        secrets=_carried(house, call) or exact(found),
        markers=holds_marker(call.canonical),
        tainted=house.sessions.tainted(session),
        calls_10m=house.sessions.calls_10m(session, now),
        consequential=house.sessions.consequential(session),
        used=house.sessions.used(call.principal.id, now),
        approval=approval,
        nodes=count_nodes(call.arguments),
        standing=standing,
        pins=pins(tool, call.arguments, house.key) if standing.grants and tool is not None else {},
        carries=leaving(tool, excused(found, house.screener.allowed)) if found else (),
    )


def _carried(house: House, call: Call) -> tuple[Finding, ...]:
    """The gateway's own secrets and honeytokens in arguments, and in `_meta` that would pass on with them."""
    found, meta = house.screener.exact(call.arguments, call.canonical), call.context.meta
    beside = house.screener.exact(meta) if meta else ()
    return (*found, *(replace(one, place=f"_meta.{one.place}".rstrip(".")) for one in beside))
