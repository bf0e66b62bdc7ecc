"""How people answer what rules ask: whose yes comes always, and whose comes before a card can be read. No I/O here.

Records of approvals in, sentences out; bounded, and O(1) for each record.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from gateway.core.figures import TOO_FAST, WAVED_ASKED, WAVED_SHARE
from gateway.core.model import ApprovalState, Record
from gateway.core.signals import Raised, Signal, shown

OPEN = 10_000  # questions of which it is remembered when they were asked
PAIRS = 2_000  # rules with people whose answers are counted, and answers that were told of
WINDOW = timedelta(days=30)  # after which the answers of a person to a rule are counted anew

K = TypeVar("K")
V = TypeVar("V")

Pair = tuple[str, str]  # what asked, and the person


class Answers(msgspec.Struct):
    """What one person answered to one rule, since a time."""

    since: datetime
    approved: int = 0
    denied: int = 0
    told: bool = False


class Kept(msgspec.Struct, array_like=True):
    """All that `Overrides` remembers, oldest first."""

    opened: list[tuple[str, datetime]] = []
    answers: list[tuple[Pair, Answers]] = []
    fast: list[tuple[str, ...]] = []


class Overrides:
    """What people answered. The newest is remembered, and what was longest ago forgotten first."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, datetime] = OrderedDict()
        self._answers: OrderedDict[Pair, Answers] = OrderedDict()
        self._fast: OrderedDict[tuple[str, ...], None] = OrderedDict()

    @property
    def size(self) -> int:
        """How many things are remembered."""
        return len(self._opened) + len(self._answers) + len(self._fast)

    def kept(self) -> Kept:
        """What is remembered."""
        return Kept(list(self._opened.items()), list(self._answers.items()), list(self._fast))

    def put(self, kept: Kept) -> None:
        """Take over what was remembered."""
        self._opened.update(kept.opened)
        self._answers.update(kept.answers)
        self._fast.update(dict.fromkeys(kept.fast))

    def observe(self, record: Record) -> tuple[Raised, ...]:
        """Count one record of kind `approval`."""
        extra = record.extra
        match extra.get("state"):
            case ApprovalState.WAITING.value:
                if not extra.get("votes"):
                    # An edit puts another row in the place of one: the person has looked at it since that was opened.
                    opened = self._opened.get(str(extra.get("follows", "")), record.at)
                    _remember(self._opened, record.id, opened, OPEN)
                return ()
            case ApprovalState.APPROVED.value | ApprovalState.DENIED.value as state:
                asked = self._opened.get(record.id)
                self._opened.pop(record.id, record.at)
                people = [name for name in str(extra.get("decided_by", "")).split(", ") if name]
                took = (record.at - asked).total_seconds() if asked is not None else None
                approved = state == ApprovalState.APPROVED.value
                raised = [self._answered(record, person, approved=approved) for person in people]
                if approved and took is not None and 0 <= took < TOO_FAST:
                    raised.extend(self._too_fast(record, person, took) for person in people)
                return tuple(one for one in raised if one is not None)
            case _:
                return ()

    def _answered(self, record: Record, person: str, *, approved: bool) -> Raised | None:
        """Count an answer; the signal where it is one yes too many."""
        pair = (_asks(record), person)
        answers = self._answers.get(pair)
        if answers is None or record.at - answers.since > WINDOW:
            answers = Answers(record.at)
        _remember(self._answers, pair, answers, PAIRS)
        answers.approved += approved
        answers.denied += not approved
        decided = answers.approved + answers.denied
        if answers.told or decided < WAVED_ASKED or answers.approved < WAVED_SHARE * decided:
            return None
        answers.told = True
        share = f"{answers.approved} of {decided} ({answers.approved / decided:.0%}) since {answers.since:%Y-%m-%d}"
        return Raised(Signal.OVERRIDES, f"{shown(person)} approved {share} of what {pair[0]} asks")

    def _too_fast(self, record: Record, person: str, took: float) -> Raised | None:
        """The signal of an approval that nobody can have read for, once a day for each person, rule and tier."""
        key = (person, _asks(record), record.tier, record.at.date().isoformat())
        if key in self._fast:
            return None
        _remember(self._fast, key, None, PAIRS)
        what = f"a call of tier {record.tier} that {key[1]} asked about"
        said = f"{shown(person)} approved {what} after {took:.1f} s; under {TOO_FAST:.0f} s stands out"
        return Raised(Signal.FAST_APPROVAL, said)


def _asks(record: Record) -> str:
    """What asked, as a sentence says it."""
    return f"rule `{record.rules[0]}`" if record.rules else f"no rule but the default for effect {record.effect}"


def _remember(kept: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
