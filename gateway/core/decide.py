"""Decide on one call from facts and policy: the decision point. Pure, and whatever errs in it blocks. No I/O here.

What callers and upstreams can cause is returned as a decision, never raised.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.anew import anew
from gateway.core.conditions import Scene
from gateway.core.flow import bare
from gateway.core.grants import covers, vouched
from gateway.core.limits import least_proof, limited, limits_of
from gateway.core.model import (
    COMPLETION,
    ELICIT,
    Call,
    Decide,
    Decision,
    Facts,
    Grant,
    Obligation,
    ObligationKind,
    Proof,
    Reason,
    Requirement,
    SecretAction,
    Surface,
    Tier,
    Tool,
    Traced,
    Verdict,
)
from gateway.core.outward import LEAVES
from gateway.core.own import told
from gateway.core.policy import FilePlan, Limits, Plan, Policy, PolicyFile, Rule
from gateway.core.raised import heightened

MOST_TOLD = 8  # places of unproven values that a decision names
MAX_PLANS = 50_000  # tools x clients that are remembered
_RANKS = {Decide.ALLOW: 0, Decide.ASK_UNLESS_PROVEN: 1, Decide.ASK: 2, Decide.BLOCK: 3}
_VERDICTS = (Verdict.ALLOW, Verdict.ASK, Verdict.ASK, Verdict.BLOCK)
_UNKNOWN = {
    "resources/read": Reason.UNKNOWN_RESOURCE,
    "resources/subscribe": Reason.UNKNOWN_RESOURCE,
    "resources/unsubscribe": Reason.UNKNOWN_RESOURCE,
    "prompts/get": Reason.UNKNOWN_PROMPT,
    COMPLETION: Reason.UNKNOWN_PROMPT,
}


class _Ruling(Struct, frozen=True):
    """What one file says: how strict, by which rule, why."""

    rank: int
    rule: Rule
    reason: Reason
    detail: str = ""
    vouchers: tuple[Grant, ...] = ()
    missing: tuple[Traced, ...] = ()


def decide(call: Call, facts: Facts, policy: Policy) -> Decision:
    """Decide on a call as it stands now; with `facts.approval`, decide again whether what was approved may run.

    In a file any matching block wins, else the first matching rule; across files the strictest wins, obligations are
    united and requirements combined. Where no rule speaks, the tier decides.
    """
    tool = facts.tool
    if facts.protected:
        return _block(policy, Reason.SELF_PROTECTION, facts.protected)
    if facts.secrets:
        return _block(policy, Reason.EXACT_SECRET, told(facts.secrets))
    if facts.standing.frozen:
        return _block(policy, Reason.FROZEN, facts.standing.frozen)
    if tool is None:
        return _block(policy, _UNKNOWN.get(call.method, Reason.UNKNOWN_TOOL), call.told)
    if facts.held:
        return _block(policy, Reason.TOOL_CHANGED, facts.held)
    if facts.standing.barred:
        return _block(policy, Reason.TOOL_BARRED, facts.standing.barred)
    if tool.surface is Surface.METHODS and tool.ref.name == ELICIT and facts.elicit == "block":
        return _block(policy, Reason.METHOD_BLOCKED, f"`elicit` of upstream {tool.ref.upstream} is block")
    if facts.upstream_state != "ready":
        return _block(policy, Reason.UPSTREAM_DOWN, f"{tool.ref.upstream} is {facts.upstream_state}")
    if facts.markers and tool.tier is not Tier.READ:
        return _block(policy, Reason.REDACTED_VALUE, "a placeholder stands in a call above tier read")
    plan = _plan(tool, call.client.name, policy)
    decision = limited(plan.settled or _weigh(plan, call, facts, tool, policy), call, facts, tool, plan.limits)
    decision = heightened(decision, facts, tool)
    if facts.carries:
        decision = _guarded(decision, facts.carries)
    if facts.approval is not None:
        return anew(decision, call, facts, tool, facts.approval)
    # INVARIANT: a grant was given on a card that showed no secret: it lets none out.
    return _lifted(decision, call, facts, tool) if facts.standing.grants and not facts.carries else decision


def _guarded(decision: Decision, carries: Sequence[str]) -> Decision:
    """A call that would send a secret outwards is asked about, whatever allows it; the card says which, and where."""
    detail = "; ".join((*([decision.detail] if decision.detail else []), f"{LEAVES}{', '.join(carries)}"))
    if decision.verdict is not Verdict.ALLOW:
        return replace(decision, detail=detail)
    return replace(
        decision,
        verdict=Verdict.ASK,
        reason=Reason.SECRET_FOUND,
        requirement=Requirement(Proof.LOCAL),
        detail=detail,
        authorised={},
        uses=(),
    )


def _lifted(decision: Decision, call: Call, facts: Facts, tool: Tool) -> Decision:
    """An ask that a grant covers is an allow; nothing else of the decision changes."""
    if decision.verdict is not Verdict.ASK:
        return decision
    # INVARIANT: a grant turns an ask into an allow and lifts nothing else: duties stay, and a block stays one.
    for grant in facts.standing.grants:
        if covers(grant, call, facts, tool, decision):
            authorised = {
                "granted_by": grant.owner,
                "grant": grant.id,
                "proof": grant.proof.word,
                "approval": grant.approval,
            }
            return replace(
                decision,
                verdict=Verdict.ALLOW,
                reason=Reason.GRANTED,
                requirement=None,
                authorised=authorised,
                uses=(grant.id,),
            )
    return decision


def counted(call: Call, tool: Tool, policy: Policy) -> Limits:
    """What has to be counted of the calls of a tool: rates, budgets, loops."""
    return _plan(tool, call.client.name, policy).limits


def is_question(tool: Tool) -> bool:
    """Whether it is something that an upstream asks, and no call of a client's."""
    return tool.surface is Surface.METHODS and tool.ref.name != COMPLETION


def _block(policy: Policy, reason: Reason, detail: str) -> Decision:
    return Decision(Verdict.BLOCK, reason, policy_revision=policy.revision, detail=detail)


def _plan(tool: Tool, client: str, policy: Policy) -> Plan:
    """The plan for a tool and client, worked out once per policy."""
    labels = tool.labels
    key = (
        *(tool.surface.value, tool.ref.upstream, tool.ref.name, client),
        *(tool.tier.value, labels.output.secrets.value, labels.record),
    )
    plan = policy.plans.get(key)
    if plan is None:
        plan = _draw(tool, client, policy)
        if len(policy.plans) >= MAX_PLANS:
            policy.plans.clear()
        policy.plans[key] = plan
    return plan


def _draw(tool: Tool, client: str, policy: Policy) -> Plan:
    files: list[FilePlan] = []
    for file in policy.files:
        rules = [
            rule.toward(client, tool.tier)
            for rule in file.rules
            if rule.admits(client) and rule.speaks_of(tool.ref, tool.surface)
        ]
        if rules:
            blocks = tuple(rule for rule in rules if rule.decide is Decide.BLOCK)
            others = tuple(rule for rule in rules if rule.decide is not Decide.BLOCK)
            files.append(FilePlan(file, blocks, others))
    mine = [rule for file in files for rule in (*file.blocks, *file.others)]
    conditions = [rule.when for rule in mine if rule.when is not None]
    plan = Plan(
        files=tuple(files),
        duties=_duties(tool),
        names=frozenset(name for condition in conditions for name in condition.names),
        conditional=bool(conditions),
        nested=any(condition.nested for condition in conditions),
        limits=limits_of(tool.ref, tool.surface, mine, policy),
    )
    varies = plan.conditional or any(rule.rate or rule.decide is Decide.ASK_UNLESS_PROVEN for rule in mine)
    dated = tool.tier is not Tier.READ and any(file.file.review_by or file.file.observe_until for file in files)
    if varies or dated:
        return plan
    rulings = [_first(file) for file in files]
    return replace(plan, settled=_combine(rulings, plan.duties, tool, policy))


def _duties(tool: Tool) -> frozenset[Obligation]:
    """What the tool's labels ask of every allowed call; under `ask` a secret is redacted until a person lets it out."""
    duties: set[Obligation] = set()
    if tool.labels.output.secrets is SecretAction.BLOCK:
        duties.add(Obligation(ObligationKind.BLOCK_SECRETS))
    elif tool.labels.output.secrets in (SecretAction.REDACT, SecretAction.ASK):
        duties.add(Obligation(ObligationKind.REDACT))
    if tool.labels.record:
        digest = tool.labels.record == "digest"
        duties.add(Obligation(ObligationKind.RECORD_DIGEST if digest else ObligationKind.RECORD_FULL))
    return frozenset(duties)


def _first(plan: FilePlan) -> _Ruling:
    """What a file says where nothing has to be evaluated."""
    rule = (*plan.blocks, *plan.others)[0]
    return _Ruling(_RANKS[rule.decide], rule, Reason.RULE)


def _weigh(plan: Plan, call: Call, facts: Facts, tool: Tool, policy: Policy) -> Decision:
    scene = Scene(call, facts, tool, policy.lists, plan.names)
    if plan.conditional:
        excess = scene.too_large(plan.nested)
        if excess:
            return _block(policy, Reason.ARGUMENTS_TOO_LARGE, excess)
    judged = ((file.file, _judge(file, scene, facts, tool)) for file in plan.files)
    rulings = [_observed(file, ruling, facts, tool) for file, ruling in judged if ruling]
    return _combine(rulings, plan.duties, tool, policy)


def _judge(plan: FilePlan, scene: Scene, facts: Facts, tool: Tool) -> _Ruling | None:
    """What one file says of this call."""
    for rule in (*plan.blocks, *plan.others):
        holds = True if rule.when is None else scene.holds(rule.when)
        if isinstance(holds, str):
            return _Ruling(_RANKS[Decide.BLOCK], rule, Reason.RULE_ERROR, f"rule `{rule.id}`: {holds}")
        if holds and rule.decide is Decide.ASK_UNLESS_PROVEN:
            return _prove(plan.file, rule, scene, facts, tool)
        if holds:
            return _temper(plan.file, rule, facts, tool)
    return None


def _prove(file: PolicyFile, rule: Rule, scene: Scene, facts: Facts, tool: Tool) -> _Ruling:
    """An ask, unless the session is clean, or every value where the effect lands has a good origin, or somebody who may
    approve it vouched for those that have none.
    """
    missing = scene.unproven()
    vouchers: tuple[Grant, ...] = ()
    if facts.tainted and bare(tool, scene.values()):
        return _Ruling(_RANKS[rule.decide], rule, Reason.UNPROVEN, "it names nowhere where its effect lands")
    if missing and facts.standing.grants:
        vouchers = vouched(scene.call, facts, tool, _asked_by(rule, tool), [one.value for one in missing])
    if missing and not vouchers:
        places = ", ".join(dict.fromkeys(one.place for one in missing[:MOST_TOLD]))
        told = f"{len(missing)} of its values" if facts.redacted else places  # a place may be a secret itself
        return _Ruling(_RANKS[rule.decide], rule, Reason.UNPROVEN, f"no good origin for {told}", (), missing)
    if overdue := _overdue(file, facts, tool):
        return _Ruling(_RANKS[Decide.ASK], rule, Reason.REVIEW_OVERDUE, overdue)
    return _Ruling(_RANKS[Decide.ALLOW], rule, Reason.VOUCHED if vouchers else Reason.PROVEN, "", vouchers)


def _temper(file: PolicyFile, rule: Rule, facts: Facts, tool: Tool) -> _Ruling:
    """A rule's word, made an ask where its rate is used up or its file's review is overdue."""
    ruling = _Ruling(_RANKS[rule.decide], rule, Reason.RULE)
    if rule.decide is not Decide.ALLOW:
        return ruling
    if overdue := _overdue(file, facts, tool):
        return _Ruling(_RANKS[Decide.ASK], rule, Reason.REVIEW_OVERDUE, overdue)
    if rule.rate is not None and facts.used.get(rule.id, 0) >= rule.rate.count:
        return _Ruling(_RANKS[Decide.ASK], rule, Reason.RATE_EXCEEDED, f"rule `{rule.id}`: {rule.rate.count} used")
    return ruling


def _observed(file: PolicyFile, ruling: _Ruling, facts: Facts, tool: Tool) -> _Ruling:
    """What a file says while it only observes: of tier write, what its rules ask passes, and is told."""
    until = file.observe_until
    if until is None or facts.now.date() > until or tool.tier is not Tier.WRITE:
        return ruling
    # INVARIANT: it lifts no block, no ask of another file, and neither an overdue review nor a budget nor a loop.
    if _VERDICTS[ruling.rank] is not Verdict.ASK or ruling.reason is Reason.REVIEW_OVERDUE:
        return ruling
    asked = _asked_by(ruling.rule, tool)
    whom = f" of {', '.join(sorted(asked.by))}" if asked.by else ""
    would = f"`{ruling.rule.id}` would have asked {asked.approvers}{whom} with proof {asked.proof.word}"
    why = "; ".join(part for part in (f"observed until {until}: {would}", ruling.reason.value, ruling.detail) if part)
    return replace(ruling, rank=_RANKS[Decide.ALLOW], reason=Reason.OBSERVED, detail=why)


def _overdue(file: PolicyFile, facts: Facts, tool: Tool) -> str:
    """Why what a file allows is asked for now; empty where its review is not overdue, and for reads."""
    if file.review_by is None or facts.now.date() <= file.review_by or tool.tier is Tier.READ:
        return ""
    return f"`{file.name}` was to be reviewed by {file.review_by}"


def _combine(rulings: Sequence[_Ruling], duties: frozenset[Obligation], tool: Tool, policy: Policy) -> Decision:
    """One decision from what the files say; their order plays no part."""
    if not rulings:
        return _default(duties, tool, policy)
    rank = max(ruling.rank for ruling in rulings)
    verdict = _VERDICTS[rank]
    # INVARIANT: every rule that asks is named, the strictest first: a grant lifts no ask that was not on its card.
    decisive = sorted(
        (ruling for ruling in rulings if _VERDICTS[ruling.rank] is verdict),
        key=lambda ruling: (-ruling.rank, ruling.rule.id),
    )
    if verdict is Verdict.ASK and is_question(tool):
        return _block(policy, Reason.METHOD_BLOCKED, "what an upstream asks is not put to an approver")
    changes = _changes(rulings)
    if changes is None and verdict is not Verdict.BLOCK:
        return _block(policy, Reason.OBLIGATION_UNMET, "rules set or drop the same argument differently")
    return Decision(
        verdict=verdict,
        reason=min((ruling.reason for ruling in decisive if ruling.rank == rank), key=_WEIGHTS.index),
        rules=tuple(ruling.rule.id for ruling in decisive),
        places=tuple(str(ruling.rule.at) for ruling in decisive),
        obligations=duties | (changes or frozenset()),
        requirement=_requirement(rulings, tool) if verdict is Verdict.ASK else None,
        policy_revision=policy.revision,
        detail="; ".join(ruling.detail for ruling in decisive if ruling.detail),
        authorised=_authority(decisive, policy) if verdict is Verdict.ALLOW else {},
        uses=tuple(grant.id for ruling in decisive for grant in ruling.vouchers) if verdict is Verdict.ALLOW else (),
        missing=tuple(dict.fromkeys(one for ruling in rulings for one in ruling.missing)),
        unproven=any(ruling.reason is Reason.UNPROVEN for ruling in rulings),
    )


def _authority(decisive: Sequence[_Ruling], policy: Policy) -> Mapping[str, str]:
    """Who answers for an allow by rule: the owners of the rules, and who accepted this revision of them, and when."""
    owners = {policy.owner_of(ruling.rule.at.file) for ruling in decisive}
    told = {"owner": ", ".join(sorted(owners)), **policy.accepted}
    vouchers = [grant for ruling in decisive for grant in ruling.vouchers]
    if vouchers:
        told["vouched_by"] = ", ".join(sorted({grant.owner for grant in vouchers}))
        told["grant"] = ", ".join(sorted(grant.id for grant in vouchers))
    return told


# Which reason is told where files that are equally strict give different ones.
_WEIGHTS = (
    Reason.RULE_ERROR,
    Reason.OBSERVED,
    Reason.RULE,
    Reason.REVIEW_OVERDUE,
    Reason.RATE_EXCEEDED,
    Reason.UNPROVEN,
    Reason.VOUCHED,
    Reason.PROVEN,
)


def _default(duties: frozenset[Obligation], tool: Tool, policy: Policy) -> Decision:
    """Where no rule speaks: tier read allows, write asks, high asks with proof `local`.

    Of what upstreams ask only an elicitation passes, for their `elicit` key was looked at before.
    """
    if is_question(tool):
        if tool.ref.name != ELICIT:
            return _block(policy, Reason.METHOD_BLOCKED, f"no rule allows {tool.ref.name}")
        return Decision(Verdict.ALLOW, Reason.TIER_DEFAULT, obligations=duties, policy_revision=policy.revision)
    verdict = Verdict.ALLOW if tool.tier is Tier.READ else Verdict.ASK
    return Decision(
        verdict,
        Reason.TIER_DEFAULT,
        obligations=duties,
        requirement=Requirement(least_proof(tool)) if verdict is Verdict.ASK else None,
        policy_revision=policy.revision,
    )


def _changes(rulings: Iterable[_Ruling]) -> frozenset[Obligation] | None:
    """The changes of arguments that all rules ask for together, or None where they contradict each other."""
    found: dict[str, tuple[type, Obligation]] = {}
    for ruling in rulings:
        for duty in ruling.rule.obligations:
            entry = (type(duty.value), duty)
            if found.setdefault(duty.name, entry) != entry:
                return None
    return frozenset(duty for _, duty in found.values())


def _requirement(rulings: Iterable[_Ruling], tool: Tool) -> Requirement:
    """What an approval must bring: the strictest of every file that asks, never the client's proof for tier high."""
    combined: Requirement | None = None
    for ruling in rulings:
        if _VERDICTS[ruling.rank] is not Verdict.ASK:
            continue
        one = _asked_by(ruling.rule, tool)
        combined = one if combined is None else combined.combine(one)
    return combined or Requirement(least_proof(tool))


def _asked_by(rule: Rule, tool: Tool) -> Requirement:
    """What an approval must bring for one rule."""
    asked, least = rule.approve, least_proof(tool)
    if asked is None:
        return Requirement(least)
    proof = least if asked.proof is None else max(asked.proof, least) if tool.tier is Tier.HIGH else asked.proof
    return Requirement(proof, asked.by, asked.approvers, asked.timeout)
