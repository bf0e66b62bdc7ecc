"""Gather all that a decision on a call needs, as it is now. It decides nothing and changes nothing."""

from gateway.core.canon import count_nodes
from gateway.core.grants import pins
from gateway.core.model import Approval, Call, Facts
from gateway.ports import House


def gather(house: House, call: Call, approval: Approval | None = None) -> Facts:
    """The facts of a call of a client's; with `approval`, for deciding again whether what was approved may run."""
    tool = house.catalogue.find(call.exposed, call.method, call.context.only)
    upstream = tool.ref.upstream if tool else ""
    now, session = house.clock.now(), call.context.session
    standing = house.approvals.standing(call, tool)
    return Facts(
        now=now,
        tool=tool,
        upstream_state=house.upstreams.state(upstream)[0] if tool else "stopped",
        protected=house.guard.reaches(call.arguments, upstream),
        tainted=house.sessions.tainted(session),
        calls_10m=house.sessions.calls_10m(session, now),
        consequential=house.sessions.consequential(session),
        used=house.sessions.used(call.principal.id, now),
        approval=approval,
        nodes=count_nodes(call.arguments),
        standing=standing,
        pins=pins(tool, call.arguments, house.key) if standing.grants and tool is not None else {},
    )
