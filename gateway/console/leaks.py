"""What the pages of leaks show of each one, and what can be said of it there. Pure: a leak and the time come in.

INVARIANT: nothing here holds a secret, and no fingerprint is shown: a leak has an id.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.console.plots import age
from gateway.console.ports import LeakChoice, LeakWord
from gateway.core.leaks import DUE, LONGEST_ACCEPTED, OVERDUE, OWNER_TOLD, Leak, LeakState, Stage, leak_id
from gateway.core.model import Act, Grade
from gateway.core.visible import visible
from gateway.errors import ApprovalError
from gateway.reading import Row

USUAL_DAYS = 30  # for which something is accepted or allowed, if nobody says otherwise
DAYS_OF_LEAKS = tuple(days for days in (7, 14, 30, 60, 90) if days <= LONGEST_ACCEPTED.days)
PASSES = (Act.FLAGGED.value, Act.ALLOWED.value)  # the secret reached somebody
BECOMES: Mapping[LeakChoice, LeakState] = {
    LeakChoice.ROTATING: LeakState.ROTATING,
    LeakChoice.ROTATED: LeakState.ROTATED,
    LeakChoice.ACCEPT: LeakState.ACCEPTED,
    LeakChoice.ALLOW: LeakState.ACCEPTED,
    LeakChoice.OPEN: LeakState.OPEN,
}
EXPLAINED: Mapping[LeakChoice, str] = {
    LeakChoice.ROTATED: "say what proves that it counts no more",
    LeakChoice.ACCEPT: "say why it may stay",
}
"""What can't be said without a word about it."""

SHOWN: Mapping[str, tuple[str, Callable[[Leak, datetime], bool]]] = {
    "todo": ("To do", lambda leak, now: leak.counts(now)),
    "due": ("Due", lambda leak, now: (leak.stage(now) or Stage.OPENED) >= Stage.DUE),
    "passed": ("Passed", lambda leak, now: leak.passed > 0),
    "rotating": ("Rotating", lambda leak, now: leak.state is LeakState.ROTATING),
    "accepted": ("Accepted", lambda leak, now: leak.state is LeakState.ACCEPTED),
    "rotated": ("Rotated", lambda leak, now: leak.state is LeakState.ROTATED),
    "all": ("All", lambda leak, now: True),
}
"""What a list can be narrowed to: its name, and what belongs to it."""


def line_of(leak: Leak, now: datetime) -> Mapping[str, Any]:
    """A leak as lists and its own page show it."""
    stage, days = leak.stage(now), leak.days(now)
    word = stage.word if stage is not None else "settled"
    words = _words(leak, stage, days, now)
    marks = (DUE.days, OWNER_TOLD.days)
    return {
        "id": leak.id,
        "kind": visible(leak.kind),
        "state": leak.state.value,
        "stage": word,
        "words": words,
        "bar": age(days, marks, OVERDUE.days, word, words),
        "where": _names(leak.seen.tools or leak.seen.upstreams) or "a client's own words",
        "clients": _names(leak.seen.clients),
        "times": leak.times,
        "passed": leak.passed,
        "acts": [(act, count, act in PASSES) for act, count in leak.seen.acts.items()],
        "owner": leak.owner,
        "last_seen": leak.last_seen,
        "exposed": leak.exposed,
        "reopened": leak.reopened,
        "was": standing(leak),
    }


def standing(leak: Leak) -> str:
    """What an answer has to have been given to: a leak that was reopened or settled since is another question."""
    return f"{leak.state.value} {leak.reopened}"


def offered_for(leak: Leak) -> Sequence[str]:
    """What can be said of a leak. One of the gateway's own secrets is no false positive, whoever says so."""
    return [
        choice.value
        for choice, state in BECOMES.items()
        if leak.may_become(state)
        and not (choice is LeakChoice.ALLOW and leak.grade is Grade.EXACT)
        and not (choice is LeakChoice.OPEN and leak.state is LeakState.OPEN)
    ]


def word_of(body: Mapping[str, Any]) -> LeakWord:
    """What a page posted of a leak, `{choice, note, days}`; raises `ApprovalError` for what can't be read."""
    choice, note, days = body.get("choice"), body.get("note", ""), body.get("days", USUAL_DAYS)
    if choice not in [each.value for each in LeakChoice]:
        raise ApprovalError("expected a `choice` of what becomes of the leak", "choice")
    chosen = LeakChoice(choice)
    if not isinstance(note, str) or (chosen in EXPLAINED and not note.strip()):
        raise ApprovalError(EXPLAINED.get(chosen, "expected `note` as a text"), "note")
    if chosen not in (LeakChoice.ACCEPT, LeakChoice.ALLOW):
        return LeakWord(chosen, note.strip())
    if not isinstance(days, int) or isinstance(days, bool) or not 0 < days <= LONGEST_ACCEPTED.days:
        raise ApprovalError(f"expected `days` from 1 to {LONGEST_ACCEPTED.days}", "days")
    return LeakWord(chosen, note.strip(), timedelta(days=days))


def call_line(row: Row, leak: Leak) -> Mapping[str, Any]:
    """A record that saw a leak: where in it, and what became of it there."""
    own = [one for one in row.record.findings if leak_id(one.kind, one.fingerprint) == leak.id]
    acts = list(dict.fromkeys(one.act.value for one in own))
    return {
        "record": row.record,
        "places": [visible(place) for place in dict.fromkeys(one.place for one in own)][:3],
        "acts": [(act, act in PASSES) for act in acts],
        "linked": row.record.id.startswith("d_"),
    }


def _words(leak: Leak, stage: Stage | None, days: int, now: datetime) -> str:
    """Its age in words, as a reader of the bar needs them."""
    if leak.lapsed(now):
        return "its acceptance is over"
    if stage is None:
        return f"{leak.state.value} after {days} {'day' if days == 1 else 'days'}"
    told = {
        Stage.OPENED: "",
        Stage.DUE: ": due",
        Stage.OWNER: ": now for its business owner",
        Stage.OVERDUE: ": overdue",
    }
    return f"day {days} of {OVERDUE.days}{told[stage]}"


def _names(counts: Mapping[str, int]) -> str:
    """The most frequent names, and how many more there are."""
    names = [visible(name) for name in counts]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
