"""A hypothetical call explained: the verdict, what every rule says, and what would have changed it. No I/O here.

Nothing is worked out beside `decide`: what a rule says is what a policy of that rule alone decides, and what would have
changed the answer was decided anew.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.decide import counted, decide
from gateway.core.flow import PROMPT, unproven, weighs
from gateway.core.limits import LOOP
from gateway.core.model import Decision, Kind, Labels, Owner, Place, Reason, Record, Surface, Verdict
from gateway.core.otherwise import changed_by, unasked
from gateway.core.policy import Policy, PolicyFile, Rule, ToolEntry
from gateway.core.proposal import propose
from gateway.core.reasons import sentence
from gateway.core.sinks import UNPARSED
from gateway.core.suppose import Rehearsed, Supposed, rehearse

MOST_ARGUMENTS = 20  # arguments that are left out one by one, to see what follows
NOWHERE = "(nothing)"


class Saying(Struct, frozen=True):
    """What one rule or budget says of a call: `decides`, `would decide`, `does not match`, `not for this caller`,
    `fails`, `has not been reached`; and its verdict, where it has one.
    """

    id: str
    at: str
    decide: str
    says: str
    verdict: str = ""
    detail: str = ""


class Variation(Struct, frozen=True):
    """Something that would have changed the answer, and the answer then."""

    what: str
    verdict: str
    reason: str
    rules: tuple[str, ...]


class Explained(Struct, frozen=True):
    """All that is told of a hypothetical call. `elsewhere` counts the rules that speak of other tools."""

    found: Rehearsed
    sayings: tuple[Saying, ...]
    elsewhere: int
    variations: tuple[Variation, ...]
    words: tuple[str, ...]
    unproven: tuple[tuple[str, str], ...]  # place and value of what has no good origin


def explain(of: Supposed, policy: Policy, clients: Sequence[str] = ()) -> Explained:
    """Explain a call; `clients` are those that are registered, to be tried in its place."""
    found = rehearse(of, policy)
    about = [(file, rule) for file in policy.files for rule in file.rules if rule.speaks_of(of.ref, of.surface)]
    every = sum(len(file.rules) for file in policy.files)
    loose = unproven(found.tool, found.facts.values or (), of.isolation, policy.lists)
    return Explained(
        found=found,
        sayings=(*(_saying(file, rule, found, policy) for file, rule in about), *_limits(found, policy)),
        elsewhere=every - len(about),
        variations=tuple(_variations(found, policy, clients)),
        words=_words(found),
        unproven=tuple((one.place, one.value.removeprefix(UNPARSED)) for one in loose),
    )


def _saying(file: PolicyFile, rule: Rule, found: Rehearsed, policy: Policy) -> Saying:
    """What one rule says alone."""
    alone = _alone(file, rule, found, policy)
    said = Saying(rule.id, str(rule.at), rule.decide.value, "does not match")
    if rule.id in alone.rules:
        says = "decides" if rule.id in found.decision.rules else "would decide"
        says = "fails" if alone.reason is Reason.RULE_ERROR else says
        return replace(said, says=says, verdict=alone.verdict.word, detail=alone.detail)
    if alone.verdict is Verdict.BLOCK:  # no rule may be asked: the arguments are too large for its condition
        return replace(said, says="fails", verdict=alone.verdict.word, detail=alone.detail)
    whoever = _alone(file, replace(rule, when=None), found, policy)
    return said if rule.id in whoever.rules else replace(said, says="not for this caller")


def _limits(found: Rehearsed, policy: Policy) -> Iterator[Saying]:
    """What budgets and loops say that count such calls."""
    silent = replace(policy, files=(), plans={})
    for file in policy.files:
        alone = [
            (one.id, str(one.at), one.over, replace(file, rules=(), budgets=(one,), loop=None)) for one in file.budgets
        ]
        if file.loop is not None:
            alone.append((LOOP, str(file.loop.at), file.loop.over, replace(file, rules=(), budgets=())))
        for id, at, over, only in alone:
            if not counted(found.call, found.tool, replace(silent, files=(only,), plans={})):
                continue
            said = decide(found.call, found.facts, replace(silent, files=(only,), plans={}))
            if id not in said.rules:
                yield Saying(id, at, over.value, "has not been reached")
                continue
            says = "decides" if id in found.decision.rules else "would decide"
            yield Saying(id, at, over.value, says, said.verdict.word, said.detail)


def _alone(file: PolicyFile, rule: Rule, found: Rehearsed, policy: Policy) -> Decision:
    """What a policy of one rule decides."""
    only = replace(file, rules=(rule,), budgets=(), loop=None)
    return decide(found.call, found.facts, replace(policy, files=(only,), plans={}))


def _variations(found: Rehearsed, policy: Policy, clients: Sequence[str]) -> Iterator[Variation]:
    """What was tried and gave another verdict, what is nearest first."""
    for what, of, other in _tries(found, policy, clients):
        then = rehearse(of, other).decision
        if then.verdict is not found.decision.verdict:
            yield Variation(what, then.verdict.word, then.reason.value, then.rules)


def _tries(found: Rehearsed, policy: Policy, clients: Sequence[str]) -> Iterator[tuple[str, Supposed, Policy]]:
    of, tool = found.supposed, found.tool
    if weighs(tool) and of.tainted:
        proven = replace(of, origins=dict.fromkeys(of.arguments, (PROMPT,)))
        yield "every value stands in the user's prompt", proven, policy
    other = "had read nothing untrusted" if of.tainted else "had read something untrusted"
    yield f"the session {other}", replace(of, tainted=not of.tainted), policy
    yield from ((f"without rule `{rule}`", of, _without(policy, rule)) for rule in found.decision.rules)
    if any(of.used.get(rule) for rule in found.decision.rules):
        yield "no rate is used", replace(of, used={}), policy
    if of.spent:
        yield "nothing is used of budgets", replace(of, spent={}), policy
    if of.repeated or of.refused:
        yield "the call is the first of its kind", replace(of, repeated=0, refused=0), policy
    if tool.surface is Surface.TOOLS and not tool.labelled:
        effect = propose(tool)
        label = f"a label that says effect `{effect.value}`, as is proposed"
        yield label, of, _labelled(policy, found, Labels(effect, at=Place("(proposal)", 0)))
    for name in list(of.arguments)[:MOST_ARGUMENTS]:
        fewer = {key: value for key, value in of.arguments.items() if key != name}
        yield f"without argument `{name}`", replace(of, arguments=fewer), policy
    for client in (*clients, "unknown"):
        if client != of.client:
            yield f"client `{client}`", replace(of, client=client), policy


def _without(policy: Policy, id: str) -> Policy:
    files = tuple(replace(file, rules=tuple(rule for rule in file.rules if rule.id != id)) for file in policy.files)
    return replace(policy, files=files, plans={})


def _labelled(policy: Policy, found: Rehearsed, labels: Labels) -> Policy:
    entry, owner = ToolEntry((str(found.tool.ref),), labels), Owner("", "")
    proposal = PolicyFile("(proposal)", owner, found.tool.ref.upstream, tools=(entry,))
    return replace(policy, files=(*policy.files, proposal), plans={})


def _words(found: Rehearsed) -> tuple[str, ...]:
    """What `explain` says of a recorded call that was decided so."""
    decision, tool = found.decision, found.tool
    record = Record(
        kind=Kind.OUTCOME,
        id=found.call.id,
        at=found.facts.now,
        upstream=tool.ref.upstream,
        tool=tool.ref.name,
        tier=tool.tier.value,
        effect=tool.effect.value,
        verdict=decision.verdict.word,
        reason=decision.reason.value,
        rules=decision.rules,
        places=decision.places,
        detail=decision.detail,
    )
    asks = decision.verdict is Verdict.ASK
    return unasked(record, record) if asks else changed_by(record, None, found.facts.now)


def explained_item(told: Explained) -> dict[str, Any]:
    """The call as `policy explain --json` prints it."""
    found, decision, tool = told.found, told.found.decision, told.found.tool
    asked = decision.requirement
    requirement = asked and {
        "proof": asked.proof.word,
        "by": sorted(asked.by),
        "approvers": asked.approvers,
        "timeout_s": asked.timeout.total_seconds(),
    }
    return {
        "upstream": tool.ref.upstream,
        "tool": tool.ref.name,
        "effect": tool.effect.value,
        "tier": tool.tier.value,
        "labelled_at": str(tool.labels.at or ""),
        "verdict": decision.verdict.word,
        "reason": decision.reason.value,
        "explained": sentence(decision.reason.value),
        "rules": list(decision.rules),
        "rule_at": ", ".join(decision.places),
        "detail": decision.detail,
        "obligations": sorted(str(duty) for duty in decision.obligations),
        "requirement": requirement,
        "arguments": dict(found.call.arguments),
        "unproven": [{"place": place, "value": value} for place, value in told.unproven],
        "sayings": [
            {
                "rule": one.id,
                "rule_at": one.at,
                "decide": one.decide,
                "says": one.says,
                "verdict": one.verdict,
                "detail": one.detail,
            }
            for one in told.sayings
        ],
        "elsewhere": told.elsewhere,
        "otherwise": [
            {"what": one.what, "verdict": one.verdict, "reason": one.reason, "rules": list(one.rules)}
            for one in told.variations
        ],
        "changed_by": list(told.words),
        "policy_revision": decision.policy_revision,
    }


def explained_sections(told: Explained) -> Iterator[tuple[str, Sequence[str]]]:
    """The same for people: labels and their lines; those that have nothing to tell are left out."""
    decision, tool = told.found.decision, told.found.tool
    verdict = f"{decision.verdict.word}: {decision.reason.value}, {sentence(decision.reason.value)}"
    places = zip(decision.rules, (*decision.places, *[""] * len(decision.rules)), strict=False)
    label = str(tool.labels.at) if tool.labels.at else "nobody labelled it"
    yield "verdict", [verdict]
    yield "rule", [f"`{rule}` at {place}" for rule, place in places]
    yield "detail", [decision.detail] if decision.detail else []
    yield "what", [f"effect {tool.effect.value}, tier {tool.tier.value} ({label})"]
    yield "needs", _needs(decision)
    yield "duties", [", ".join(sorted(str(duty) for duty in decision.obligations))] if decision.obligations else []
    yield "unproven", [f"{place}: {value}" for place, value in told.unproven]
    yield "rules", [*map(_line, told.sayings), *([f"{told.elsewhere} speak of other tools"] if told.elsewhere else [])]
    varied = [f"{one.what}: {one.verdict} ({_because(one)})" for one in told.variations]
    yield "otherwise", [*varied, *told.words]


def _needs(decision: Decision) -> Sequence[str]:
    asked = decision.requirement
    if asked is None:
        return []
    people = "one person" if asked.approvers == 1 else f"{asked.approvers} people"
    who = f" ({', '.join(sorted(asked.by))})" if asked.by else ""
    return [f"a yes of {people}{who} with proof `{asked.proof.word}` or stronger, within {asked.timeout}"]


def _line(one: Saying) -> str:
    said = f", {one.verdict}" if one.verdict else ""
    return f"`{one.id}` at {one.at} ({one.decide}): {one.says}{said}{f': {one.detail}' if one.detail else ''}"


def _because(one: Variation) -> str:
    return f"{one.reason} of {', '.join(f'`{rule}`' for rule in one.rules)}" if one.rules else one.reason
