"""Compare the rules of one file before and after. Pure, and in doubt it loosens.

In a file any matching block wins wherever it stands, else the first matching rule decides; across files the strictest
wins; and where no rule speaks the tier decides, which never lets pass what an allow would have asked for.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gateway.core.globs import common, covers, matches_any
from gateway.core.loosening.nouns import Difference
from gateway.core.model import Decide, Proof, Surface
from gateway.core.policy import Approve, Policy, PolicyFile, Rate, Rule
from gateway.core.policy.nouns import LOOSE

_STEPS = {
    (Decide.ALLOW, Decide.ASK_UNLESS_PROVEN),
    (Decide.ALLOW, Decide.ASK),
    (Decide.ASK_UNLESS_PROVEN, Decide.ASK),
}


def compare_rules(was: PolicyFile, now: PolicyFile, after: Policy) -> Iterator[Difference]:
    """What differs between the rules of a file; a rule is the same one by its id.

    While a file only observes, what it asks at tier write passes: then an ask may be less than what an allow was (its
    review overdue), or than what the tier would ask.
    """
    observes = now.observe_until is not None
    former, present = ({rule.id: rule for rule in file.rules} for file in (was, now))
    for place, rule in enumerate(was.rules):
        if rule.id not in present:
            rest = [later for later in was.rules[place + 1 :] if later.id in present]
            goes = _may_go(rule, rest) and not observes and not may_ask(was, rule, after)
            yield Difference(now.name, f"rule `{rule.id}` ({_brief(rule)}) is gone", loosens=not goes)
    for place, rule in enumerate(now.rules):
        old = former.get(rule.id)
        if old is None:
            rest = [later for later in now.rules[place + 1 :] if later.id in former]
            comes = _may_come(rule, rest) and (rule.decide is Decide.BLOCK or not observes)
            yield Difference(now.name, f"new rule `{rule.id}` ({_brief(rule)})", loosens=not comes)
        elif replace(old, at=rule.at, reason=rule.reason) != rule:
            later = was.rules[was.rules.index(old) + 1 :]
            goes = _may_go(old, [each for each in later if each.id in present]) and not may_ask(was, old, after)
            tightens = _tightened(old, rule, goes)
            if observes and rule.decide is not Decide.BLOCK:
                tightens = tightens and _same(old, rule, "approve", "rate")
            yield Difference(now.name, f"rule `{rule.id}`: {_change(old, rule)}", loosens=not tightens)
        elif old.reason != rule.reason:
            yield Difference(now.name, f"rule `{rule.id}`: other words in `reason`")
    if _order(was, present) != _order(now, former):
        yield Difference(now.name, "the rules stand in another order", loosens=True)


def narrows(rule: Rule, later: Sequence[Rule]) -> bool:
    """Whether an allow may hold for fewer calls: what follows, or the tier, lets none of them pass that it asked for.

    Not so for a rule that may ask (a rate, an approval), or that changes arguments, as those after it may do.
    """
    plain = rule.decide is Decide.ALLOW and rule.rate is None and rule.approve is None and not rule.obligations
    return plain and not any(other.obligations for other in later if overlap(rule, other))


def may_ask(file: PolicyFile, rule: Rule, after: Policy) -> bool:
    """Whether an allow asks one day, its file's review overdue, for what another file lets pass."""
    others = (other for each in after.files if each.name != file.name for other in each.rules if other.decide in LOOSE)
    return file.review_by is not None and any(overlap(rule, other) for other in others)


def overlap(rule: Rule, other: Rule) -> bool:
    """Whether two rules may speak of the same call."""
    if rule.surface is not other.surface:
        return False
    if rule.surface is Surface.RESOURCES:
        return True  # a lone `*` of theirs crosses slashes
    return any(common(mine, theirs) is not None for mine in rule.patterns for theirs in other.patterns)


def _may_go(rule: Rule, later: Sequence[Rule]) -> bool:
    """Whether nothing passes without a rule that didn't with it: its condition could err, which blocks."""
    return rule.when is None and narrows(rule, later)


def _may_come(rule: Rule, later: Sequence[Rule]) -> bool:
    """Whether a new rule takes nothing from those after it that was stricter."""
    if rule.decide is Decide.BLOCK:
        return True
    if rule.decide is not Decide.ASK or rule.obligations:
        return False
    mine = [other for other in later if other.decide is not Decide.BLOCK and overlap(rule, other)]
    return all(
        other.when is None and not other.obligations and _asks_more(other.approve, rule.approve) for other in mine
    )


def _tightened(old: Rule, new: Rule, goes: bool) -> bool:
    """Whether the same rule, changed, is at least as strict for every call; `goes`: it might as well be gone."""
    if new.decide is Decide.BLOCK:
        return _same(old, new, "decide", "approve", "rate", "obligations", "patterns", "clients", "when") and (
            _wider(old, new) and (new.when is None or new.when == old.when)
        )
    if old.decide is Decide.BLOCK or not _same(old, new, "decide", "approve", "rate", "patterns", "clients", "when"):
        return False
    if not _asks_more(old.approve, new.approve) or not _stricter(old, new):
        return False
    if (old.patterns, old.clients, old.when) == (new.patterns, new.clients, new.when):
        return True
    # A condition that was not there before takes calls away; another one may hold where the former didn't.
    return (new.when == old.when or old.when is None) and goes and _wider(new, old)


def _same(old: Rule, new: Rule, *but: str) -> bool:
    """Whether two rules agree in all parts but the named ones, whatever a rule may have some day."""
    return replace(old, **{name: getattr(new, name) for name in ("at", "reason", *but)}) == new


def _stricter(old: Rule, new: Rule) -> bool:
    """Whether what is decided, and how often, is at least as strict."""
    if old.decide is not new.decide:
        unknown = bool(old.clients) and matches_any(old.clients, "unknown")  # whom an allow doesn't admit by name
        proven = old.rate is not None and new.decide is Decide.ASK_UNLESS_PROVEN
        return (old.decide, new.decide) in _STEPS and not unknown and not proven
    return _rarer(old.rate, new.rate)


def _rarer(old: Rate | None, new: Rate | None) -> bool:
    if old is None:
        return True
    return new is not None and new.count <= old.count and new.window >= old.window


def _asks_more(old: Approve | None, new: Approve | None) -> bool:
    """Whether an approval has to bring at least what it had to bring before."""
    was, now = old or Approve(), new or Approve()
    rest = replace(was, proof=now.proof, by=now.by, approvers=now.approvers, timeout=now.timeout) == now
    by = not was.by or (bool(now.by) and now.by <= was.by)
    proof = (now.proof or Proof.CLIENT) >= (was.proof or Proof.CLIENT)  # without one the tier's least counts
    return rest and by and proof and now.approvers >= was.approvers and now.timeout <= was.timeout


def _wider(narrow: Rule, wide: Rule) -> bool:
    """Whether one rule speaks of all calls of which another one does, conditions aside."""
    if narrow.surface is Surface.RESOURCES:
        patterns = set(narrow.patterns) <= set(wide.patterns)
    else:
        patterns = all(any(covers(big, small) for big in wide.patterns) for small in narrow.patterns)
    if not wide.clients:
        return patterns
    known = bool(narrow.clients) and all(any(covers(big, small) for big in wide.clients) for small in narrow.clients)
    return patterns and known


def _order(file: PolicyFile, others: dict[str, Rule]) -> list[str]:
    """The ids of the rules that stand in both files and block in neither, in order."""
    loose = [rule for rule in file.rules if rule.decide is not Decide.BLOCK and rule.id in others]
    return [rule.id for rule in loose if others[rule.id].decide is not Decide.BLOCK]


def _brief(rule: Rule) -> str:
    condition = " under a condition" if rule.when is not None else ""
    return f"{rule.decide.value} {', '.join(rule.patterns[:4])}{', ...' if len(rule.patterns) > 4 else ''}{condition}"


def _change(old: Rule, new: Rule) -> str:
    """What changed, in words."""
    parts: list[str] = []
    if old.decide is not new.decide:
        parts.append(f"{old.decide.value} -> {new.decide.value}")
    if old.patterns != new.patterns:
        parts.append(f"{new.surface.value}: {', '.join(old.patterns)} -> {', '.join(new.patterns)}")
    if old.clients != new.clients:
        parts.append(f"clients: {', '.join(old.clients) or 'all'} -> {', '.join(new.clients) or 'all'}")
    if old.when != new.when:
        parts.append(f"when: {_text(old)} -> {_text(new)}")
    if old.rate != new.rate:
        parts.append(f"rate: {_rate(old.rate)} -> {_rate(new.rate)}")
    if old.approve != new.approve:
        parts.append(f"approve: {_asked(old.approve)} -> {_asked(new.approve)}")
    if old.obligations != new.obligations:
        parts.append("what it sets or drops changed")
    return "; ".join(parts) or "changed"


def _text(rule: Rule) -> str:
    return f"`{rule.when.text}`" if rule.when is not None else "always"


def _rate(rate: Rate | None) -> str:
    return f"{rate.count} in {rate.window}" if rate is not None else "none"


def _asked(approve: Approve | None) -> str:
    if approve is None:
        return "by tier"
    proof = approve.proof.word if approve.proof is not None else "by tier"
    by = ", ".join(sorted(approve.by)) or "anyone"
    return f"{approve.approvers} of {by}, proof {proof}, within {approve.timeout}"
