"""What the rules of a policy let pass unasked in a tainted session, whatever the arguments are. No I/O here.

Nothing is evaluated: a condition may hold, for whoever chooses the arguments can see to it. So more is told than can
pass, and never less.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.expressions import tokens
from gateway.core.globs import common, covers
from gateway.core.model import Decide, Surface, Tier, Tool
from gateway.core.policy import Policy, PolicyFile, Rate, Rule
from gateway.core.policy.rules import WINDOWS

MOST_WAYS = 200  # of one tool and client; beyond them anything counts as passing
EVERYWHERE = ""  # in `Way.listed`: all sinks
_TEXT = r"[\"']([^\"']+)[\"']"
_ALL_LISTED = re.compile(rf"sinks\.all\((\w+),listed\(\1,{_TEXT}\)\)")
_ONE_LISTED = re.compile(rf"listed\(args\.(\w+),{_TEXT}\)")
_EACH_LISTED = re.compile(rf"args\.(\w+)\.all\((\w+),listed\(\2,{_TEXT}\)\)")
_GUARD = re.compile(r"size\([\w.]+\)(>0|>=1|!=0)|[\w.]+\.size\(\)(>0|>=1|!=0)|has\([\w.]+\)")
_CLEAN = ("!session.tainted", "session.tainted==false", "session.tainted!=true")
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


class Way(Struct, frozen=True):
    """One way in which a call passes: all of it has to hold. Without any of it everything passes.

    `conditions` are texts of `when`; `listed` names an argument (or `EVERYWHERE`) and the list that its values are of;
    `proven`: every value needs a good origin; `rates` say how often, and `observed` that a rule would have asked.
    """

    rules: tuple[str, ...] = ()
    conditions: frozenset[str] = frozenset()
    listed: frozenset[tuple[str, str]] = frozenset()
    proven: bool = False
    rates: tuple[str, ...] = ()
    observed: bool = False

    def joined(self, other: "Way") -> "Way":
        """What passes only where both let it pass."""
        return Way(
            tuple(dict.fromkeys((*self.rules, *other.rules))),
            self.conditions | other.conditions,
            self.listed | other.listed,
            self.proven or other.proven,
            tuple(dict.fromkeys((*self.rates, *other.rates))),
            self.observed or other.observed,
        )

    def as_wide_as(self, other: "Way") -> bool:
        """Whether all that passes the other way passes this way, too."""
        return (
            self.conditions <= other.conditions
            and self.listed <= other.listed
            and (other.proven or not self.proven)
            and set(self.rates) <= set(other.rates)
        )


def ways(policy: Policy, tool: Tool, client: str, today: date) -> tuple[Way, ...]:
    """The ways in which calls of a tool pass without anybody being asked; none if none can.

    The tool's name may be a pattern: then they are those of any tool that it covers. Grants are not looked at.
    """
    found: list[Way | None] = [None]  # None: no file has spoken so far
    for file in policy.files:
        passes, silent = _of_file(file, tool, client, today)
        options: list[Way | None] = [*passes, *([None] if silent else [])]
        joined = [_join(one, other) for one in found for other in options]
        found = _widest(joined)
        if len(found) > MOST_WAYS:
            found = [Way(("(too many to tell)",))]
    default = [Way()] if None in found and tool.tier is Tier.READ else []
    return tuple(way for way in _widest([*found, *default]) if way is not None)


def barred(policy: Policy, tool: Tool, client: str) -> bool:
    """Whether a rule blocks every call of the tool, so that no grant lets one pass."""
    rules = [rule for file in policy.files for rule in file.rules if rule.surface is tool.surface]
    return any(
        rule.decide is Decide.BLOCK and rule.when is None and rule.admits(client) and _surely(rule, tool)
        for rule in rules
    )


def _join(one: Way | None, other: Way | None) -> Way | None:
    if one is None or other is None:
        return other if one is None else one
    return one.joined(other)


def _widest(found: Iterable[Way | None]) -> list[Way | None]:
    """Each way that no other one makes needless."""
    kept: list[Way | None] = []
    for way in dict.fromkeys(found):
        if way is None:
            kept.append(way)
        elif not any(other is not None and other.as_wide_as(way) for other in kept):
            kept = [other for other in kept if other is None or not way.as_wide_as(other)] + [way]
    return kept


def _of_file(file: PolicyFile, tool: Tool, client: str, today: date) -> tuple[list[Way], bool]:
    """In which ways one file lets calls pass, and whether it may say nothing of one."""
    mine = [rule.toward(client, tool.tier) for rule in file.rules if _speaks(rule, tool, client)]
    blocks = [rule for rule in mine if rule.decide is Decide.BLOCK]
    if any(rule.when is None and _surely(rule, tool) for rule in blocks):
        return [], False
    found: list[Way] = []
    for rule in (rule for rule in mine if rule.decide is not Decide.BLOCK):
        way = _of_rule(file, rule, tool, today)
        if way is not None:
            found.append(way)
        if rule.when is None and _surely(rule, tool):
            return found, False
    return found, True


def _of_rule(file: PolicyFile, rule: Rule, tool: Tool, today: date) -> Way | None:
    """The way in which a rule lets calls pass that reach it; None if it asks about each."""
    way = claimed(Way((rule.id,)), rule)
    if way is None:
        return None
    observing = file.observe_until is not None and today <= file.observe_until and tool.tier is Tier.WRITE
    if observing and rule.decide is not Decide.ALLOW:
        return replace(way, observed=True)
    overdue = file.review_by is not None and today > file.review_by and tool.tier is not Tier.READ
    if rule.decide is Decide.ASK or overdue:
        return None
    if rule.decide is Decide.ASK_UNLESS_PROVEN:
        return replace(way, proven=True)
    return replace(way, rates=(_told(rule.rate),) if rule.rate else ())


def _told(rate: Rate) -> str:
    return f"{rate.count}/{next(word for word, window in WINDOWS.items() if window == rate.window)}"


def claimed(way: Way, rule: Rule) -> Way | None:
    """The way, with what the rule's condition asks for; None if it can't hold in a tainted session."""
    if rule.when is None:
        return way
    rest: list[str] = []
    listed: set[tuple[str, str]] = set()
    for claim in _claims(rule.when.text):
        if claim in _CLEAN:
            return None
        if found := _ALL_LISTED.fullmatch(claim):
            listed.add((EVERYWHERE, found[2]))
        elif found := _ONE_LISTED.fullmatch(claim):
            listed.add((found[1], found[2]))
        elif found := _EACH_LISTED.fullmatch(claim):
            listed.add((found[1], found[3]))
        elif not _GUARD.fullmatch(claim):
            rest.append(claim)
    text = " ".join(rule.when.text.split())
    return replace(way, listed=frozenset(listed), conditions=frozenset({text} if rest else ()))


def _claims(text: str) -> tuple[str, ...]:
    """What a condition claims, one by one, without blanks: the parts of a plain conjunction, else all of it as one."""
    parts, depth = [""], 0
    for token in tokens(text):
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0 and token.text in ("||", "?"):
            return ("".join(piece.text for piece in tokens(text)),)
        if depth == 0 and token.text == "&&":
            parts.append("")
        else:
            parts[-1] += token.text
    return tuple(parts)


def _speaks(rule: Rule, tool: Tool, client: str) -> bool:
    """Whether a rule may decide on the tool, or on one that its pattern covers."""
    if rule.surface is not Surface.TOOLS or not rule.admits(client):
        return False
    return any(common(pattern, str(tool.ref)) is not None for pattern in rule.patterns)


def _surely(rule: Rule, tool: Tool) -> bool:
    """Whether a rule speaks of the tool, and of each that its pattern covers."""
    return covered(rule.patterns, str(tool.ref))


def covered(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the patterns covers a name, or all names of a pattern, as far as can be shown."""
    return any(covers(pattern, name) for pattern in patterns)
