"""How far the mix of tools moved between two weeks: counts in, one number and the tools that moved most out. Pure."""

from collections.abc import Mapping
from math import log2

from msgspec import Struct

LIMIT = 0.3  # of a divergence between 0 (the same mix) and 1 (nothing in common)
MOVED = 3  # tools that are named


class Moved(Struct, frozen=True):
    """A tool and its share of all calls, before and after; from 0 to 1."""

    name: str
    before: float
    after: float

    def __str__(self) -> str:
        """The tool with both shares, as a sentence names it."""
        return f"{self.name} {self.before:.0%} -> {self.after:.0%}"


def divergence(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """The Jensen-Shannon divergence of two mixes, by logarithms of base 2: 0 for equal ones, 1 for disjoint ones.

    A mix without any call diverges from nothing: 0.
    """
    one, other = sum(before.values()), sum(after.values())
    if not one or not other:
        return 0.0
    found = 0.0
    for name in before.keys() | after.keys():
        p, q = before.get(name, 0) / one, after.get(name, 0) / other
        middle = (p + q) / 2
        found += _part(p, middle) + _part(q, middle)
    return min(1.0, max(0.0, found / 2))


def moved(before: Mapping[str, int], after: Mapping[str, int], most: int = MOVED) -> tuple[Moved, ...]:
    """The tools whose share changed most, the greatest change first; those that did not move are left out."""
    one, other = max(1, sum(before.values())), max(1, sum(after.values()))
    names = before.keys() | after.keys()
    shares = [Moved(name, before.get(name, 0) / one, after.get(name, 0) / other) for name in names]
    changed = [share for share in shares if share.before != share.after]
    return tuple(sorted(changed, key=lambda share: (-abs(share.after - share.before), share.name))[:most])


def _part(share: float, middle: float) -> float:
    return share * log2(share / middle) if share else 0.0
