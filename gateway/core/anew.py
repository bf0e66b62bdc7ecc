"""Decide again, now, whether what a person approved may run. No I/O here."""

from msgspec.structs import replace

from gateway.core.model import Approval, ApprovalState, Call, Decision, Facts, Reason, Tier, Tool, Verdict

_TIERS = (Tier.READ, Tier.WRITE, Tier.HIGH)


def anew(decision: Decision, call: Call, facts: Facts, tool: Tool, approval: Approval) -> Decision:
    """Whether what was approved may run, after `decision` on how it stands now: only if nothing asks for more than was
    given. The verdict is allow, or block.
    """
    now = replace(decision, phase="execute")
    if decision.verdict is Verdict.BLOCK:
        return now
    worse = _worse(decision, call, facts, tool, approval)
    if worse:
        return replace(now, verdict=Verdict.BLOCK, reason=Reason.APPROVAL_VOID, requirement=None, detail=worse)
    if decision.verdict is Verdict.ALLOW:
        return now
    return replace(now, verdict=Verdict.ALLOW, reason=Reason.APPROVED, requirement=None)


def _worse(decision: Decision, call: Call, facts: Facts, tool: Tool, approval: Approval) -> str:
    """What is no longer as it was approved, or an empty string."""
    if approval.state is not ApprovalState.APPROVED or facts.now >= approval.expires_at:
        return f"the approval is {approval.state.value}, until {approval.expires_at.isoformat()}"
    if approval.arguments_digest != call.digest or (approval.upstream, approval.tool) != (
        tool.ref.upstream,
        tool.ref.name,
    ):
        return "the approval is of another call"
    if approval.definition != tool.digest:
        return "the tool's definition changed"
    if facts.tainted and not approval.tainted:
        return "an untrusted output was read in the session meanwhile"
    if decision.unproven and not (approval.shown.unproven or approval.reason is Reason.UNPROVEN):
        return "a value where the effect lands has no good origin any more"
    if _TIERS.index(tool.tier) > _TIERS.index(approval.tier) or (
        tool.tier is approval.tier is Tier.HIGH and tool.effect is not approval.effect
    ):
        return "the tool's labels got worse"
    if decision.requirement is not None and not decision.requirement.within(approval.requirement):
        return "more is asked of an approval now"
    added = sorted(str(duty) for duty in decision.obligations if str(duty) not in approval.obligations)
    return f"obligations were added: {', '.join(added)}" if added else ""
