"""Find what can't be meant: dead rules, labels that never count, files that contradict each other. No I/O here.

It shows what follows from the patterns alone; tools are not known here.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from gateway.core.expressions import tokens
from gateway.core.globs import covers, literal
from gateway.core.model import Decide, Surface, ToolRef
from gateway.core.policy.nouns import UNKNOWN, Budget, PolicyFile, Rule, ToolEntry
from gateway.core.policy.unread import half_read, witnesses
from gateway.core.problems import Problem, Severity

T = TypeVar("T")

ALWAYS = "true"  # a condition that is none


def findings(files: Sequence[PolicyFile]) -> Iterator[Problem]:
    """Every finding over all files, each at the entry or rule to change."""
    for file in files:
        yield from _shadowed(file)
        yield from _dead(file)
    yield from _repeated(files)
    yield from _contradictions(files)
    yield from half_read(files)
    yield from _idle_budgets(files)


class _Wider(Generic[T]):
    """Things by their patterns, to find those that cover another pattern without comparing all."""

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = {}
        self._wild: dict[str, list[tuple[int, str, T]]] = {}  # by what stands before the first wildcard
        self._count = 0

    def add(self, patterns: Sequence[str], thing: T) -> None:
        for pattern in patterns:
            if "*" in pattern or "?" in pattern:
                self._count += 1
                self._wild.setdefault(literal(pattern), []).append((self._count, pattern, thing))
            else:
                self._exact.setdefault(pattern, []).append(thing)

    def covering(self, pattern: str) -> Iterator[T]:
        yield from self._exact.get(pattern, ())
        near = [one for end in range(len(pattern) + 1) for one in self._wild.get(pattern[:end], ())]
        yield from (thing for _, wide, thing in sorted(near, key=lambda one: one[0]) if covers(wide, pattern))


def _shadowed(file: PolicyFile) -> Iterator[Problem]:
    earlier: _Wider[ToolEntry] = _Wider()
    for index, entry in enumerate(file.tools):
        winners = [next(earlier.covering(pattern), None) for pattern in entry.patterns]
        earlier.add(entry.patterns, entry)
        if winners and winners[0] and all(winners):
            message = f"never counts: the entry at {winners[0].labels.at} matches the same tools first, and wins whole"
            table = f"tool {index + 1}"
            yield Problem(file.name, _line(entry), table, "match", "", message, severity=Severity.WARNING)


def _line(entry: ToolEntry) -> int:
    return entry.labels.at.line if entry.labels.at else 0


def _dead(file: PolicyFile) -> Iterator[Problem]:
    places = {rule.id: index for index, rule in enumerate(file.rules)}
    wider: dict[str, _Wider[Rule]] = {ALWAYS: _Wider()}
    for rule in file.rules:
        wider.setdefault(_claim(rule), _Wider()).add(rule.patterns, rule)
    for index, rule in enumerate(file.rules):
        winners: list[Rule | None] = []
        for pattern in rule.patterns if rule.decide is not Decide.BLOCK else ():
            rivals = (
                rival
                for claim in dict.fromkeys((ALWAYS, _claim(rule)))
                for rival in wider[claim].covering(pattern)
                if rival is not rule and (places[rival.id] < index or rival.decide is Decide.BLOCK)
            )
            winners.append(next((rival for rival in rivals if _decides_first(rival, rule)), None))
        found = {rival.id: rival for rival in winners if rival is not None}
        if winners and all(winners):
            told = " and ".join(f"`{rival.id}` at {rival.at}" for rival in found.values())
            same = any(_claim(rival) != ALWAYS for rival in found.values())
            message = f"never decides: {told} {'decides' if len(found) == 1 else 'decide'} all of it"
            message += ", under the same condition" if same else " without a condition"
            yield _never(file, index, rule, message)
    yield from _for_nobody(file)


def _for_nobody(file: PolicyFile) -> Iterator[Problem]:
    """Allows of nobody but unknown clients, and blocks that stand there already."""
    blocks: dict[tuple[object, ...], Rule] = {}
    for index, rule in enumerate(file.rules):
        if rule.decide is Decide.ALLOW and set(rule.clients) == {UNKNOWN}:
            yield _never(file, index, rule, "never decides: nothing is allowed to unknown clients by name")
        if rule.decide is Decide.BLOCK:
            what = (rule.surface, frozenset(rule.patterns), frozenset(rule.clients), _claim(rule))
            first = blocks.setdefault(what, rule)
            if first is not rule:
                yield _never(file, index, rule, f"never decides: `{first.id}` at {first.at} blocks the same")


def _never(file: PolicyFile, index: int, rule: Rule, message: str) -> Problem:
    return Problem(file.name, rule.at.line, f"rule {index + 1}", "id", rule.id, message)


def _claim(rule: Rule) -> str:
    """What a rule's condition claims, however it is set; `ALWAYS` where it has none."""
    return " ".join(token.text for token in tokens(rule.when.text)) if rule.when is not None else ALWAYS


def _decides_first(rival: Rule, rule: Rule) -> bool:
    """Whether a rule that holds wherever another one of the same tools does also speaks of all its clients."""
    if rival.surface is not rule.surface:
        return False
    if rival.for_everybody:
        return True
    if not rule.clients or (rule.admits("unknown") and not rival.admits("unknown")):
        return False
    return all(any(covers(wide, narrow) for wide in rival.clients) for narrow in rule.clients)


def _repeated(files: Sequence[PolicyFile]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for file in files:
        named = [(rule.id, rule.at, "rule") for rule in file.rules]
        named += [(budget.id, budget.at, "budget") for budget in file.budgets]
        for identity, at, table in named:
            if identity in seen:
                message = f"expected an id that is used once; `{identity}` stands at {seen[identity]} as well"
                yield Problem(file.name, at.line, table, "id", identity, message)
            seen.setdefault(identity, str(at))


class _Clash(Struct, frozen=True):
    """Two entries that a common tool makes differ."""

    tool: str
    one: ToolEntry
    other: ToolEntry


def _contradictions(files: Sequence[PolicyFile]) -> Iterator[Problem]:
    for index, file in enumerate(files):
        for earlier in files[:index]:
            clash = _clash(file, earlier) if file.upstream == earlier.upstream else None
            if clash is None:
                continue
            there = clash.other.labels.at
            message = f"labels `{clash.tool}` otherwise than {there}, and neither file is more specific"
            yield Problem(file.name, _line(clash.one), "tool", "match", "", message)


def _clash(file: PolicyFile, earlier: PolicyFile) -> _Clash | None:
    for name in witnesses(file.tools, [pattern for entry in earlier.tools for pattern in entry.patterns]):
        ref = ToolRef(*name.split("/", 1))
        one, other = file.entry(ref), earlier.entry(ref)
        if one and other and not same_labels(one, other):
            return _Clash(name, one, other)
    return None


def same_labels(one: ToolEntry, other: ToolEntry) -> bool:
    """Whether two entries say the same, wherever they stand."""
    left, right = one.labels, other.labels
    return (
        left.effect is right.effect
        and left.sinks == right.sinks
        and set(left.payload) == set(right.payload)
        and set(left.inert) == set(right.inert)
        and left.known == right.known
        and left.output == right.output
        and left.preview == right.preview
        and left.record == right.record
        and left.fetches == right.fetches
    )


def _idle_budgets(files: Sequence[PolicyFile]) -> Iterator[Problem]:
    """Budgets that can never act: of what is blocked anyway, or behind one that is always used up before."""
    blocks = [rule for file in files for rule in file.rules if rule.decide is Decide.BLOCK and rule.when is None]
    walls = [wide for rule in blocks if rule.surface is Surface.TOOLS and rule.for_everybody for wide in rule.patterns]
    budgets = [budget for file in files for budget in file.budgets]
    wider: _Wider[Budget] = _Wider()
    for budget in budgets:
        wider.add(budget.patterns, budget)
    for file in files:
        for budget in file.budgets:
            if budget.patterns and _within(budget.patterns, walls):
                message = "never acts: a rule without a condition blocks all of it"
            elif rival := next((each for each in _near(budget, wider) if _before(each, budget, budgets)), None):
                message = f"never acts: `{rival.id}` at {rival.at} is used up before it"
            else:
                continue
            yield Problem(file.name, budget.at.line, "budget", "id", budget.id, message, severity=Severity.WARNING)


def _near(budget: Budget, wider: _Wider[Budget]) -> Iterator[Budget]:
    return wider.covering(budget.patterns[0]) if budget.patterns else iter(())


def _within(patterns: Sequence[str], walls: Sequence[str]) -> bool:
    return all(any(covers(wide, narrow) for wide in walls) for narrow in patterns)


def _before(rival: Budget, budget: Budget, budgets: Sequence[Budget]) -> bool:
    """Whether another budget counts all that this one does, has no more, and is no milder."""
    same = (rival.per, rival.sum) == (budget.per, budget.sum) and _within(budget.patterns, rival.patterns)
    milder = rival.over is not Decide.BLOCK and budget.over is Decide.BLOCK
    if rival is budget or not same or milder or rival.most > budget.most:
        return False
    equal = (rival.most, rival.over) == (budget.most, budget.over) and _within(rival.patterns, budget.patterns)
    return not equal or budgets.index(rival) < budgets.index(budget)
