"""Figures of the people who approve: how fast, how often, and which rules are waved through. No I/O here.

Made from the rows of approvals alone; console and `wardgate policy review` show the same ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.model import AGAIN, Approval, ApprovalState

TOO_FAST = 2.0  # seconds; who approves faster can hardly have read the card
WAVED_ASKED, WAVED_SHARE, WAVED_SECONDS = 20, 0.95, 5.0
"""A rule is waved through if people decided so many of its questions, approved at least this share of them, and took
less than so many seconds for half of them."""


class Question(Struct, frozen=True):
    """One question to people: the row that it began with, and the one that it ended with (an edit puts another one in
    its place).
    """

    first: Approval
    last: Approval

    @property
    def edited(self) -> bool:
        """Whether a person changed the arguments."""
        return self.first is not self.last

    @property
    def denied(self) -> bool:
        """Whether a person said no."""
        return self.last.state is ApprovalState.DENIED

    @property
    def approved(self) -> bool:
        """Whether people said yes, whatever became of the call then."""
        return self.last.decided_at is not None and not self.denied

    @property
    def expired(self) -> bool:
        """Whether nobody answered in time."""
        return self.last.state is ApprovalState.EXPIRED and not self.approved

    @property
    def seconds(self) -> float | None:
        """How long it took people to decide; None where nobody has."""
        at = self.last.decided_at
        return max(0.0, (at - self.first.created_at).total_seconds()) if at is not None else None


class Tally(Struct, frozen=True):
    """What became of some questions. Shares are from 0 to 1, and None where there is nothing to share."""

    name: str
    asked: int
    approved: int
    denied: int
    expired: int
    edited: int
    share_approved: float | None  # of those that people decided
    share_too_fast: float | None  # of those that were approved: in under 2 s
    median_seconds: float | None  # from the question to the decision
    waved_through: bool = False


class Figures(Struct, frozen=True):
    """The figures of some time: in all, by rule and by person; those that were asked most stand first."""

    whole: Tally
    rules: tuple[Tally, ...]
    people: tuple[Tally, ...]  # by name, as the proof said it; of what they decided
    per_hour: float  # questions in an hour in which there was one at all
    busiest_hour: int  # questions in the busiest hour


def figures(rows: Iterable[Approval]) -> Figures:
    """The figures of these rows, in any order."""
    asked = questions(rows)
    hours = Counter(one.first.created_at.replace(minute=0, second=0, microsecond=0) for one in asked)
    return Figures(
        whole=_tally("", asked),
        rules=tuple(replace(each, waved_through=_waved(each)) for each in _by(asked, lambda one: (asks(one.first),))),
        people=_by(asked, lambda one: filter(None, one.last.decided_by.split(", "))),
        per_hour=len(asked) / len(hours) if hours else 0.0,
        busiest_hour=max(hours.values(), default=0),
    )


def questions(rows: Iterable[Approval]) -> tuple[Question, ...]:
    """The questions that rows are of, oldest first. Rows of a call that was decided anew, since its tool was labelled
    meanwhile, are left out: nobody answered them.
    """
    kept = {row.id: row for row in rows}
    found = []
    for row in sorted(kept.values(), key=lambda row: (row.created_at, row.id)):
        if row.follows in kept:
            continue
        last = row
        while last.followed_by in kept:
            last = kept[last.followed_by]
        if last.followed_by != AGAIN:
            found.append(Question(row, last))
    return tuple(found)


def asks(row: Approval) -> str:
    """What asked: the id of the rule, or the default that stood in for one."""
    if row.rule:
        return row.rule
    return f"(no rule: effect {row.effect.value})" if row.shown.labelled else "(no rule: nobody labelled the tool)"


def tally_item(of: str, tally: Tally) -> dict[str, Any]:
    """A tally as `policy review --json` prints it; `of` is what it counts: all, rule or approver."""
    return {
        "of": of,
        "name": tally.name,
        "asked": tally.asked,
        "approved": tally.approved,
        "denied": tally.denied,
        "expired": tally.expired,
        "edited": tally.edited,
        "share_approved": _rounded(tally.share_approved),
        "share_under_2s": _rounded(tally.share_too_fast),
        "median_seconds": _rounded(tally.median_seconds),
        "waved_through": tally.waved_through,
    }


def _waved(tally: Tally) -> bool:
    decided, took = tally.approved + tally.denied, tally.median_seconds
    return (
        decided >= WAVED_ASKED and tally.approved >= WAVED_SHARE * decided and took is not None and took < WAVED_SECONDS
    )


def _by(asked: Sequence[Question], names: Callable[[Question], Iterable[str]]) -> tuple[Tally, ...]:
    groups: dict[str, list[Question]] = {}
    for one in asked:
        for name in names(one):
            groups.setdefault(name, []).append(one)
    found = [_tally(name, group) for name, group in groups.items()]
    return tuple(sorted(found, key=lambda tally: (-tally.asked, tally.name)))


def _tally(name: str, asked: Sequence[Question]) -> Tally:
    approved, denied = [one for one in asked if one.approved], sum(one.denied for one in asked)
    took = [one.seconds for one in asked if one.seconds is not None]
    fast = sum(one.seconds is not None and one.seconds < TOO_FAST for one in approved)
    return Tally(
        name=name,
        asked=len(asked),
        approved=len(approved),
        denied=denied,
        expired=sum(one.expired for one in asked),
        edited=sum(one.edited for one in asked),
        share_approved=len(approved) / (len(approved) + denied) if approved or denied else None,
        share_too_fast=fast / len(approved) if approved else None,
        median_seconds=median(took) if took else None,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
