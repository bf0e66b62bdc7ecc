"""Make a redacted value fit its schema again: drop an optional property, else null where that is allowed. No I/O here.

Nothing is known of schemas here: each change is tried, and stays if it leaves less that doesn't fit, and nothing new.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.core.render import Path

MAX_TRIALS = 64  # validations of one value
MAX_CHANGES = 1_000  # redacted places that are looked at

Problem = tuple[Path, str]
"""Where a value doesn't fit, and which part of the schema says so."""
Problems = Callable[[Any], Sequence[Problem] | None]
"""What of a value doesn't fit; None for a schema that can't be used."""


class Unfit(Exception):  # noqa: N818 - it says what the value is
    """A redacted value can't be made to fit its schema."""


def repair(before: Any, after: Any, problems: Problems) -> Any:
    """The redacted value `after`, or the nearest value without the redacted places that don't fit.

    `before` is the value as it was. Raises `Unfit` where neither dropping nor null helps, for what did not fit before
    in any other place, and for a schema that can't be used.
    """
    trials = 0

    def unfit(value: Any) -> Counter[Problem]:
        nonlocal trials
        trials += 1
        found = problems(value) if trials <= MAX_TRIALS else None
        if found is None:
            raise Unfit
        return Counter(found)

    left = unfit(after)
    if not left:
        return after
    places = _changed(before, after)
    for place in sorted(places, key=len, reverse=True):
        if left and _concerned(place, left):
            after, left = _mended(after, place, left, unfit)
    if left:
        after = _all_at_once(after, [place for place in places if _concerned(place, left)], unfit)
    return after


def _mended(value: Any, place: Path, left: Counter[Problem], unfit: Callable[[Any], Counter[Problem]]) -> Any:
    """The value with one place mended, and what doesn't fit then; from the place itself up to the outermost property
    that it lies in, the smallest change that helps.
    """
    for depth in range(len(place), 0, -1):
        for changed in _variants(value, place[:depth]):
            rest = unfit(changed)
            if rest < left:  # as counters are compared: fewer, and none that was not there
                return changed, rest
    return value, left


def _all_at_once(value: Any, places: Sequence[Path], unfit: Callable[[Any], Counter[Problem]]) -> Any:
    """The value with all places changed alike, for a schema that takes only one of several forms as a whole."""
    for drop in (True, False):
        changed = value
        for place in places:
            changed = _without(changed, place) if drop else _with_null(changed, place)
        if not unfit(changed):
            return changed
    raise Unfit


def _variants(value: Any, place: Path) -> Iterator[Any]:
    """Without the property, where it is one; then with null in its place."""
    if isinstance(place[-1], str):
        yield _without(value, place)
    yield _with_null(value, place)


def _concerned(place: Path, left: Counter[Problem]) -> bool:
    """Whether something that doesn't fit lies at a place, above it or below."""
    return any(place[: len(where)] == where[: len(place)] for where, _ in left)


def _without(value: Any, place: Path) -> Any:
    """A copy without a property; an item of a list stays where it is."""
    head, rest = place[0], place[1:]
    if isinstance(value, Mapping):
        if not rest:
            return {key: item for key, item in value.items() if key != head}
        return {key: _without(item, rest) if key == head else item for key, item in value.items()}
    if isinstance(value, list | tuple) and rest:
        return [_without(item, rest) if at == head else item for at, item in enumerate(value)]
    return value


def _with_null(value: Any, place: Path) -> Any:
    """A copy with null at a place."""
    if not place:
        return None
    head, rest = place[0], place[1:]
    if isinstance(value, Mapping):
        return {key: _with_null(item, rest) if key == head else item for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(item, rest) if at == head else item for at, item in enumerate(value)]
    return value


def _changed(before: Any, after: Any) -> list[Path]:
    """The places at which two values differ, keys by their new names; at most `MAX_CHANGES`."""
    found: list[Path] = []
    todo: list[tuple[Path, Any, Any]] = [((), before, after)]
    while todo and len(found) < MAX_CHANGES:
        path, old, new = todo.pop()
        if old is new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            pairs = zip(old.items(), new.items(), strict=False)
            found += [(*path, name) for (key, _), (name, _) in pairs if key != name]
            pairs = zip(old.items(), new.items(), strict=False)
            todo += [((*path, name), was, now) for (_, was), (name, now) in pairs]
        elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
            todo += [((*path, at), was, now) for at, (was, now) in enumerate(zip(old, new, strict=False))]
        elif old != new:
            found.append(path)
    return [path for path in found if path]
