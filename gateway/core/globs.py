"""Name patterns: `*` is any run but `/`, `?` one character but `/`, nothing else is special. No I/O here."""

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in pattern), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern covers a whole name; case counts."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    return _compiled(pattern).fullmatch(name) is not None


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns covers the name."""
    return any(matches(pattern, name) for pattern in patterns)


@lru_cache(maxsize=4096)
def literal(pattern: str) -> str:
    """What stands before the first wildcard."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def covers(wide: str, narrow: str) -> bool:
    """Whether every name of `narrow` is one of `wide`, as far as can be shown from the patterns.

    A `*` of the narrow pattern can only be swallowed by a `*` of the wide one, so True is always right.
    """
    if "*" not in narrow and "?" not in narrow:
        return matches(wide, narrow)
    if not narrow.startswith(literal(wide)):
        return False
    reached = {0}
    for char in narrow:
        reached = _closure(wide, reached)
        reached = {after for at in reached for after in _step(wide, at, char)}
    return len(wide) in _closure(wide, reached)


def _closure(pattern: str, places: set[int]) -> set[int]:
    found = set(places)
    for at in sorted(places):
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            found.add(at)
    return found


def _step(pattern: str, at: int, char: str) -> Iterable[int]:
    if at >= len(pattern) or (char == "/" and pattern[at] != "/"):
        return ()
    match pattern[at]:
        case "*":
            return (at,)
        case "?":
            return () if char == "*" else (at + 1,)
        case other:
            return (at + 1,) if other == char else ()


def common(first: str, second: str) -> str | None:
    """A name that both patterns cover, or None if there is none."""
    todo = [(0, 0, "")]
    seen: set[tuple[int, int]] = set()
    while todo:
        here, there, name = todo.pop()
        if (here, there) in seen:
            continue
        seen.add((here, there))
        if here == len(first) and there == len(second):
            return name
        left, right = first[here : here + 1], second[there : there + 1]
        if left == "*":
            todo.append((here + 1, there, name))
        if right == "*":
            todo.append((here, there + 1, name))
        if left and right and (char := _shared(left, right)):
            todo.append((here + (left != "*"), there + (right != "*"), name + char))
    return None


def _shared(left: str, right: str) -> str:
    """A character that both pattern characters take, or an empty string."""
    wild = ("*", "?")
    if left in wild and right in wild:
        return "" if left == right == "*" else "a"
    if left in wild:
        return "" if right == "/" else right
    if right in wild:
        return "" if left == "/" else left
    return left if left == right else ""
