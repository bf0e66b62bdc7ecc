"""Compare the lists of two policies by what is done with them. Pure, and in doubt it loosens."""

import re
from collections.abc import Iterator

from gateway.core.loosening.nouns import Difference
from gateway.core.loosening.rules import may_ask, narrows
from gateway.core.loosening.shared import lists_of, reads, ruled
from gateway.core.model import Decide
from gateway.core.policy import Policy
from gateway.core.policy.nouns import PolicyFile, Rule
from gateway.core.sinks import ValueList

_SOME = r'sinks\.exists\((\w+),listed\(\1,"[^"]*"\)\)|listed\(args\.\w+,"[^"]*"\)'
_NOT_ALL = r'sinks\.exists\((\w+),!listed\(\1,"[^"]*"\)\)'
_ALL = r'size\(sinks\)>0&&sinks\.all\((\w+),listed\(\1,"[^"]*"\)\)'
GROWS_STRICT = re.compile(_SOME)  # a block under such a condition blocks more with a longer list, and errs no less
SHRINKS_STRICT = re.compile(_NOT_ALL)  # and under such a one with a shorter list
SHRINKS_LESS = re.compile(_ALL)  # an allow under such a condition allows less with a shorter list, and errs no less
_STAR = r"[^\s,;<>@/\x00-\x1f\x7f]*"  # as lists spell a `*`
_PATTERN = re.compile(r"(?<!\\)\|")


def compare_lists(before: Policy, after: Policy) -> Iterator[Difference]:
    """What differs between the lists, and whether anything that uses them gets looser by it."""
    for name in sorted({*before.lists, *after.lists}):
        old, new = before.lists.get(name), after.lists.get(name)
        if old is None or new is None:  # whatever uses it came or went with it, and is looked at by itself
            yield Difference(f"list `{name}`", "new list" if old is None else "the list is gone")
        elif _values(old) != _values(new):
            added, gone = sorted(_values(new) - _values(old)), sorted(_values(old) - _values(new))
            loosens = not _strict(name, bool(added), bool(gone), after)
            yield Difference(f"list `{name}`", _told(added, gone), loosens=loosens)


def _values(values: ValueList) -> frozenset[str]:
    """The values of a list; of patterns the parts of the expression that finds them."""
    wild = _PATTERN.split(values.pattern.pattern) if values.pattern is not None else ()
    return values.exact | frozenset(f"\x00{part}" for part in wild)


def _strict(name: str, grew: bool, shrank: bool, after: Policy) -> bool:
    uses = [(file, rule) for file, rule in ruled(after) if name in lists_of(rule)]
    if not all(_use(file, rule, grew, shrank, after) for file, rule in uses):
        return False
    known = any(name in entry.labels.known.values() for file in after.files for entry in file.tools)
    return not known or (not grew and not reads(after, "flow"))


def _use(file: PolicyFile, rule: Rule, grew: bool, shrank: bool, after: Policy) -> bool:
    """Whether one rule is at least as strict with the list as it is now."""
    text = re.sub(r"\s+", "", rule.when.text.replace("'", '"')) if rule.when is not None else ""
    if rule.decide is Decide.BLOCK:
        fits = GROWS_STRICT if grew else SHRINKS_STRICT
        return grew is not shrank and fits.fullmatch(text) is not None
    later = file.rules[file.rules.index(rule) + 1 :]
    fewer = not grew and SHRINKS_LESS.fullmatch(text) is not None and narrows(rule, later)
    return fewer and file.observe_until is None and not may_ask(file, rule, after)


def _told(added: list[str], gone: list[str]) -> str:
    parts = [
        f"{word} {', '.join(map(_shown, found[:20]))}" for word, found in (("new:", added), ("gone:", gone)) if found
    ]
    return "; ".join(parts)


def _shown(value: str) -> str:
    if not value.startswith("\x00"):
        return f"`{value}`"
    plain = re.sub(r"\\(.)", r"\1", value[1:].replace(_STAR, "*"))
    return f"`{plain}`"
