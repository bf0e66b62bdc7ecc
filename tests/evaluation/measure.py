"""Recall by kind and by place, and the share of clean outputs touched, through the very screener of the path."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from gateway.core.grading import grade
from gateway.core.model import Grade, Reason, Release, Screened
from gateway.screening.engine import Kingfisher
from gateway.screening.screener import Screener
from tests.evaluation.kinds import Kind
from tests.evaluation.places import LEAST, Place

KEY = b"e" * 32
PATIENCE = 30.0  # seconds for one result


class Clock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """The time of the day; nothing here asks for it."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


def screener(cache: Path) -> Screener:
    """The screener of the path with the real engine, loaded. `cache`: the folder of the compiled rules."""
    engine = Kingfisher(cache)
    engine.build()
    return Screener(engine, Clock(), KEY)


@dataclass(slots=True)
class Recall:
    """How often kinds were found in places."""

    played: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)

    def share(self, kinds: Iterable[str], places: Iterable[str]) -> float:
        """The share found of what was played of some kinds in some places."""
        pairs = [(kind, place) for kind in set(kinds) for place in set(places)]
        played = sum(self.played[pair] for pair in pairs)
        return sum(self.found[pair] for pair in pairs) / played if played else 0.0


async def recall(how: Screener, kinds: Sequence[Kind], places: Mapping[str, Place], seeds: Sequence[int]) -> Recall:
    """Play each kind in each place."""
    told = Recall()
    for kind in kinds:
        for name, place in places.items():
            for seed in seeds:
                played = place(kind.fake(seed), Random(f"{kind.name} {name} {seed}"))
                screened = await how.screen(played.result, None, time.monotonic() + PATIENCE)
                told.played[kind.name, name] += 1
                told.found[kind.name, name] += gone(screened, played.needles)
    return told


def gone(screened: Screened, needles: Iterable[str]) -> bool:
    """Whether none of the needles is left, nor the better part of one. What was withheld for a secret is gone too.

    Raises `AssertionError` for what was withheld since the scanner failed: that would count as found.
    """
    assert screened.reason is not Reason.SCANNER_FAILED, "the scanner failed"
    if screened.release is Release.WITHHELD:
        return True
    left = "\n".join(strings(screened.value))
    return not any(piece in left for needle in needles for piece in pieces(needle))


def pieces(needle: str) -> tuple[str, ...]:
    """The parts of a needle of which none may be left: all but its beginning, all but its end."""
    cut = max(LEAST, len(needle) // 4)
    return (needle[cut:], needle[:-cut]) if len(needle) > 2 * cut else (needle,)


def strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


@dataclass(slots=True)
class Touched:
    """What was found in clean outputs: how many there were, how many are touched at redact and at flag, and why."""

    outputs: int = 0
    redacted: int = 0
    flagged: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    where: list[tuple[str, str]] = field(default_factory=list)

    @property
    def at_redact(self) -> float:
        """The share of outputs in which something of a vendor's shape was found."""
        return self.redacted / self.outputs

    @property
    def at_flag(self) -> float:
        """The share of outputs in which anything was found."""
        return self.flagged / self.outputs


async def touched(how: Screener, outputs: Iterable[tuple[str, Mapping[str, Any]]]) -> Touched:
    """Screen clean outputs, that come with a name of where they are from."""
    told = Touched()
    for name, output in outputs:
        screened = await how.screen(output, None, time.monotonic() + PATIENCE)
        assert screened.reason is not Reason.SCANNER_FAILED, "the scanner failed"
        grades = {finding.kind: grade(finding.kind, finding.exact) for finding in screened.findings}
        told.outputs += 1
        told.flagged += bool(grades)
        told.redacted += any(each is not Grade.GENERIC for each in grades.values())
        told.kinds.update(list(grades))
        told.where.extend((kind, name) for kind in grades)
    return told
