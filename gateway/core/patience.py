"""How long clients wait, learned from what was seen: two calls that were given up at the same moment are a limit.

Values in, values out. A person gives up at any moment, and a client's own limit is always the same. No clock here.
"""

from collections.abc import Sequence

from msgspec import Struct

SHORTEST = 3.0  # seconds; what is given up sooner says nothing
ALIKE = 0.03  # by how much of themselves two moments may differ to be the same
SHARE = 0.8  # of a limit for which a call is held
EXACTLY = 0.5  # seconds around a limit in which an answer is the client's own
READING_TIME = 0.7  # seconds in which nobody reads a card
REMEMBERED = 8


class Patience(Struct, frozen=True):
    """What was seen of one client: the moments at which it gave up, the newest last, and the limit found (0: none)."""

    seen: tuple[float, ...] = ()
    limit: float = 0.0

    def gave_up(self, after: float) -> "Patience":
        """One more call was given up after so many seconds."""
        if after < SHORTEST:
            return self
        alike = [other for other in self.seen if abs(other - after) <= ALIKE * max(other, after)]
        found = min([after, *alike]) if alike else self.limit
        limit = min(found, self.limit) if self.limit else found
        return Patience((*self.seen, after)[-REMEMBERED:], limit)

    def budget(self, given: float) -> float:
        """Seconds to hold a call: as given, and less where the client is known to give up before."""
        return min(given, SHARE * self.limit) if self.limit else given


def never_shown(after: float, limits: Sequence[float]) -> bool:
    """Whether a question that was declined after so many seconds was never shown to a person: nobody reads so fast, or
    it was at exactly the moment at which the client gives up by itself.
    """
    return after < READING_TIME or any(limit and abs(after - limit) <= EXACTLY for limit in limits)
