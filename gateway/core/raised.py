"""A session that a signal has raised: what would pass unasked above tier read is asked about. No I/O here.

It only tightens, and blocks nothing.
"""

from dataclasses import replace

from gateway.core.limits import least_proof
from gateway.core.model import Decision, Facts, Reason, Requirement, Surface, Tier, Tool, Verdict


def heightened(decision: Decision, facts: Facts, tool: Tool) -> Decision:
    """A decision in a session that is raised, if `facts.raised` names the signal that raised it.

    What upstreams ask in the middle of a call, and a call that has begun, are left as they are: nobody could be asked
    about that.
    """
    mild = tool.tier is Tier.READ or tool.surface is Surface.METHODS
    # What asks for a limit stays as it is, for a grant of anything but exactly this call must not lift that.
    settled = decision.verdict is Verdict.BLOCK or decision.reason in (Reason.BUDGET_EXCEEDED, Reason.LOOP)
    if not facts.raised or facts.begun or mild or settled:
        return decision
    asked = Requirement(least_proof(tool))
    requirement = asked if decision.requirement is None else decision.requirement.combine(asked)
    told = f"signal `{facts.raised}` raised the session"
    # INVARIANT: the reason is this one, so that no grant lifts the question that was given before, or for another one.
    return replace(
        decision,
        verdict=Verdict.ASK,
        reason=Reason.SESSION_RAISED,
        requirement=requirement,
        detail="; ".join([*([decision.detail] if decision.detail else []), told]),
        authorised={},
        uses=(),
    )
