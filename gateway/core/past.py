"""What an identity (a principal with a client) did before: counts by day, the mix of a week, and what was seen.

No I/O here. Values are remembered as short keyed digests that the caller makes, and everything is bounded.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import date
from math import sqrt

import msgspec

WARM_CALLS, WARM_DAYS = 50, 3  # calls and finished days of past, before which nothing is new
USUAL_DAYS = 5  # finished days that tell what is usual in a day
DECAY = 0.2  # weight of the newest day
DEVIATIONS = 4.0  # beyond which a day's count stands out
FEW = 10  # consequential calls in a day that stand out nowhere
MOST_TOOLS = 200  # of a week's mix; what is beyond counts as one
OTHERS = "(others)"
LEAST = 30  # calls of a week that tell a mix

UPSTREAM, TOOL, STEP, SINK, SCOPE = "upstream", "tool", "step", "sink", "scope"
MOST_SEEN = {UPSTREAM: 100, TOOL: 500, STEP: 2_000, SINK: 2_000, SCOPE: 2_000}
"""How many things of each sort are remembered of an identity; the one that was seen longest ago is forgotten first."""

Week = tuple[int, int]  # year and number, as ISO 8601 counts them


class Counts(msgspec.Struct):
    """The counts of one identity; `mean` and `variance` are of consequential calls in a day, decayed."""

    calls: int = 0
    days: int = 0  # that are over, with a call at least
    day: date = date.min
    today: int = 0  # consequential calls of that day
    mean: float = 0.0
    variance: float = 0.0
    told: bool = False  # that today's count stands out
    week: Week = (0, 0)
    mix: dict[str, int] = {}  # calls by tool in this week
    before: dict[str, int] = {}  # the same of the last week that had enough of them
    before_week: Week = (0, 0)


class Past:
    """The past of one identity."""

    __slots__ = ("counts", "seen")

    def __init__(self, counts: Counts | None = None, seen: Mapping[str, Iterable[int]] | None = None) -> None:
        self.counts = counts or Counts()
        kept = seen or {}
        self.seen = {what: OrderedDict.fromkeys(kept.get(what, ())) for what in MOST_SEEN}

    @property
    def size(self) -> int:
        """How many things are remembered."""
        return sum(map(len, self.seen.values()))

    @property
    def warm(self) -> bool:
        """Whether there is enough of it that something can be new."""
        return self.counts.calls >= WARM_CALLS and self.counts.days >= WARM_DAYS

    @property
    def most(self) -> float:
        """The consequential calls of one day beyond which that day stands out."""
        counts = self.counts
        return max(FEW, counts.mean + DEVIATIONS * max(sqrt(counts.variance), sqrt(counts.mean), 1.0))

    def turn(self, day: date) -> tuple[Week, dict[str, int], Week, dict[str, int]] | None:
        """Go on to another day, and to another week; never back. Returns two weeks to be compared with their mixes, the
        older first, where the later one is over now.
        """
        counts = self.counts
        if day <= counts.day:
            return None
        if counts.day != date.min:
            self._finish()
        counts.day, counts.today, counts.told = day, 0, False
        week = day.isocalendar()[:2]
        if week == counts.week:
            return None
        over, mix, older, before = counts.week, counts.mix, counts.before_week, counts.before
        counts.week, counts.mix = week, {}
        if sum(mix.values()) < LEAST:
            return None
        counts.before_week, counts.before = over, mix
        return (older, before, over, mix) if before else None

    def count(self, tool: str, *, consequential: bool) -> bool:
        """Count a call of today; True for the first consequential one by which the day stands out."""
        counts = self.counts
        counts.calls += 1
        name = tool if tool in counts.mix or len(counts.mix) < MOST_TOOLS else OTHERS
        counts.mix[name] = counts.mix.get(name, 0) + 1
        if not consequential:
            return False
        counts.today += 1
        stands_out = counts.days >= USUAL_DAYS and counts.today > self.most and not counts.told
        counts.told = counts.told or stands_out
        return stands_out

    def sees(self, what: str, digest: int) -> bool:
        """Remember a thing; True where it was not remembered before."""
        seen = self.seen[what]
        if digest in seen:
            seen.move_to_end(digest)
            return False
        seen[digest] = None
        if len(seen) > MOST_SEEN[what]:
            seen.popitem(last=False)
        return True

    def _finish(self) -> None:
        """Let the day that is over count; one that stood out counts for no more than what just would not have."""
        counts = self.counts
        count = min(float(counts.today), self.most) if counts.days >= USUAL_DAYS else float(counts.today)
        weight = max(DECAY, 1 / (counts.days + 1))
        difference = count - counts.mean
        counts.mean += weight * difference
        counts.variance = (1 - weight) * (counts.variance + weight * difference * difference)
        counts.days += 1
