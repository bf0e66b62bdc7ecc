"""Simulate a policy over recorded calls: what it would block, ask and allow that was decided otherwise. No I/O here.

It takes records in their order, once, and the same records give the same report, whenever and wherever it is made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.model import Decision, Grant, Kind, Record, Verdict
from gateway.core.policy import Policy
from gateway.core.record import stamp
from gateway.core.recount import Recount
from gateway.core.replay import Past, Replayed, Replaying, Said, Untold, said_then

WEEK, LEAST = timedelta(days=7), timedelta(days=1)  # a shorter time is taken for a day: a week follows from no less
MOST_SHOWN = 2_000  # bytes of an example's arguments that are shown


class Change(str, Enum):
    """How a call would have fared otherwise."""

    BLOCKED = "newly-blocked"
    ASKED = "newly-asked"
    ALLOWED = "newly-allowed"


_CHANGES = {Verdict.BLOCK: Change.BLOCKED, Verdict.ASK: Change.ASKED, Verdict.ALLOW: Change.ALLOWED}


class Again(Struct, frozen=True):
    """One call decided again: what was said then, and what the simulated policy says."""

    past: Past
    then: Said
    now: Decision


class Group(Struct):
    """The calls whose verdict would have changed in one way by the same rules; `example` is the smallest of them."""

    change: Change
    rules: tuple[str, ...]
    places: tuple[str, ...]
    reason: str
    count: int
    example: Again


class Report(Struct, frozen=True):
    """What came of a simulation. `span` is the time from the first call to the last, at least a day.

    `prompts_then` and `prompts_now` count the questions among the calls that could be decided again.
    """

    calls: int
    same: int
    otherwise: int  # the same verdict by another reason or other rules
    groups: tuple[Group, ...]
    untold: Mapping[str, int]
    prompts_then: int
    prompts_now: int
    span: timedelta
    waited: int  # calls that only ever waited: nobody came back for them
    questions: int  # what upstreams asked in the middle of calls

    @property
    def prompts_a_week(self) -> float:
        """Prompts that the policy would have added a week; below 0 those that it would have saved."""
        return (self.prompts_now - self.prompts_then) / (self.span / WEEK)


class Simulation:
    """Takes records in order. Those before `since` only count for rates, and are in no figure."""

    def __init__(
        self,
        policy: Policy,
        grants: Mapping[str, Grant],
        since: datetime | None = None,
        keys: Sequence[bytes] = (),
    ) -> None:
        self._policy, self._since, self._replaying = policy, since, Replaying(policy, grants, keys)
        self._recount = Recount(policy)
        self._asked: dict[str, Record] = {}
        self._open: dict[str, Again | Untold] = {}  # questions of which no call is on the record so far
        self._begun: set[str] = set()  # calls whose outcome is still to come
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._untold: Counter[str] = Counter()
        self._first = self._last = since
        self._calls = self._same = self._otherwise = self._then = self._now = self._questions = 0

    def take(self, seq: int, record: Record) -> Again | Untold | None:
        """Take the next record; what came of it where it is the first of a call, with what the call was decided on."""
        counts = self._since is None or record.at >= self._since
        match record.kind:
            case Kind.APPROVAL:
                self._ask(seq, record, counts=counts)
                return None
            case Kind.QUESTION:
                self._questions += counts
                return None
            case Kind.INTENT | Kind.OUTCOME if record.facts or _broke_off(record):
                if record.kind is Kind.OUTCOME and record.id in self._begun:
                    self._begun.discard(record.id)  # its intent was written, and it broke off before it was sent
                    return None
                if record.kind is Kind.INTENT:
                    self._begun.add(record.id)
                return self._again(seq, record, counts=counts)
            case _:
                self._begun.discard(record.id)
                return None

    def report(self) -> Report:
        """What came of it, at the end: a question that no call came back for is one as well."""
        for id, made in self._open.items():
            self._note(made, self._asked[id].at)
        waited = len(self._open)
        self._open = {}
        groups = sorted(
            self._groups.values(), key=lambda one: (list(Change).index(one.change), -one.count, one.rules, one.reason)
        )
        span = self._last - self._first if self._first is not None and self._last is not None else LEAST
        return Report(
            calls=self._calls,
            same=self._same,
            otherwise=self._otherwise,
            groups=tuple(groups),
            untold=dict(sorted(self._untold.items())),
            prompts_then=self._then,
            prompts_now=self._now,
            span=max(span, LEAST),
            waited=waited,
            questions=self._questions,
        )

    def _ask(self, seq: int, record: Record, *, counts: bool) -> None:
        """Note a question, and which other one it took the place of; one about an output is none of these."""
        extra, id = record.extra, record.approval
        if id not in self._asked:
            self._asked[id] = record
            if counts and record.method != "release":
                self._open[id] = self._decide(Past(seq, replace(record, verdict=Verdict.ASK.word)))[1]
        if extra.get("followed_by"):
            self._open.pop(id, None)
        if follows := extra.get("follows"):
            self._open.pop(follows, None)

    def _again(self, seq: int, record: Record, *, counts: bool) -> Again | Untold:
        self._open.pop(record.approval, None)
        found, made = self._decide(Past(seq, record, self._asked.get(record.approval)))
        self._count(found, record)
        if counts:
            self._note(made, record.at)
        return made

    def _decide(self, past: Past) -> tuple[Replayed | Untold, Again | Untold]:
        in_force = past.record.policy_revision == self._policy.revision
        found = self._replaying.again(past, None if in_force else self._recount)
        return found, found if isinstance(found, Untold) else Again(past, said_then(past), found.decision)

    def _count(self, found: Replayed | Untold, record: Record) -> None:
        """What the call would have taken of limits: it went on then, and nothing blocks it now."""
        went_on = record.kind is Kind.INTENT
        if isinstance(found, Untold):
            if went_on:
                self._recount.allowed(record.principal, record.at, record.rules)
        elif found.tool is None:
            return
        elif went_on and found.decision.verdict is not Verdict.BLOCK:
            self._recount.sent(found.call, found.tool, found.decision)
        else:
            self._recount.refused(found.call, found.tool)

    def _note(self, made: Again | Untold, at: datetime) -> None:
        self._calls += 1
        self._first, self._last = self._first or at, max(self._last or at, at)
        if isinstance(made, Untold):
            self._untold[made.value] += 1
            return
        then, now = made.then, made.now
        self._then += then.verdict is Verdict.ASK
        self._now += now.verdict is Verdict.ASK
        if now.verdict is not then.verdict:
            self._group(made)
        elif differs(then, now):
            self._otherwise += 1
        else:
            self._same += 1

    def _group(self, made: Again) -> None:
        now = made.now
        key = (_CHANGES[now.verdict], now.rules, now.reason.value)
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = Group(key[0], now.rules, now.places, key[2], 1, made)
            return
        group.count += 1
        if _size(made) < _size(group.example):
            group.example = made


def differs(then: Said, now: Decision) -> bool:
    """Whether a decision is another one than the record tells, in verdict, reason or rules."""
    reason = then.reason in ("", now.reason.value)
    return then.verdict is not now.verdict or not reason or then.rules != now.rules


def _broke_off(record: Record) -> bool:
    """Whether a call ended before it was decided on."""
    return record.kind is Kind.OUTCOME and not record.verdict


def _size(made: Again) -> tuple[int, int]:
    """How large a call's arguments are as they are kept; the earlier one of two alike."""
    record = made.past.record
    kept = (
        len(canonical(record.arguments)) if record.arguments is not None else record.omitted.get("arguments", 1 << 40)
    )
    return kept, made.past.seq


def report_items(report: Report) -> list[dict[str, Any]]:
    """A report as `policy simulate --json` prints it: the whole first, then each change, then what can't be told."""
    whole = {
        "of": "all",
        "calls": report.calls,
        "same": report.same,
        "otherwise": report.otherwise,
        **{change.value: sum(one.count for one in report.groups if one.change is change) for change in Change},
        "untold": sum(report.untold.values()),
        "waited": report.waited,
        "questions": report.questions,
        "prompts_then": report.prompts_then,
        "prompts_now": report.prompts_now,
        "prompts_a_week": round(report.prompts_a_week, 2),
        "days": round(report.span / timedelta(days=1), 2),
    }
    changes = [{"of": "change", **_change_item(group)} for group in report.groups]
    return [whole, *changes, *({"of": "untold", "why": why, "count": count} for why, count in report.untold.items())]


def _change_item(group: Group) -> dict[str, Any]:
    made, record = group.example, group.example.past.record
    return {
        "change": group.change.value,
        "rules": list(group.rules),
        "rule_at": ", ".join(group.places),
        "reason": group.reason,
        "count": group.count,
        "example": {
            "seq": made.past.seq,
            "id": record.id,
            "at": stamp(record.at),
            "upstream": record.upstream,
            "tool": record.tool,
            "client": record.client,
            "arguments": shown_arguments(record),
            "then": made.then.verdict.word,
            "then_reason": made.then.reason,
            "then_rules": list(made.then.rules),
            "outcome_reason": record.reason,
        },
    }


def shown_arguments(record: Record) -> Mapping[str, Any] | None:
    """The arguments of an example, as they are kept; None where they are not, or are long."""
    kept = record.arguments
    return kept if kept is not None and len(canonical(kept)) <= MOST_SHOWN else None


def untold_words(untold: Mapping[str, int]) -> Sequence[str]:
    """What could not be decided again, in sentences."""
    return [f"{count}: {Untold(why).words}" for why, count in untold.items()]
