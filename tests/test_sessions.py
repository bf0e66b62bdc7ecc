"""Sliding windows and counters in memory: never too few, and bounded."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sessions
from gateway.core.model import Decision, Kind, Reason, Tier, Verdict
from gateway.sessions import Sessions, Window
from tests.fakes import NOON, a_call, a_record, a_tool

HOUR = timedelta(hours=1)
ALLOW = Decision(Verdict.ALLOW, Reason.RULE, ("mail.rated", "mail.other"))
READ = a_tool(tier=Tier.READ)


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(0, 60))
def test_a_window_never_counts_too_few_and_hardly_too_many(steps: Sequence[int], length: int) -> None:
    window, at, added = Window(timedelta(seconds=length)), NOON, []
    for step in steps:
        at += timedelta(seconds=step)
        window.add(at)
        added.append(at)
    inside = [each for each in added if at - each <= timedelta(seconds=length)]
    hardly = [each for each in added if at - each <= timedelta(seconds=length + 1)]
    assert len(inside) <= window.count(at) <= len(hardly)


def test_a_window_holds_one_number_a_second() -> None:
    window = Window(timedelta(seconds=10))
    for tick in range(1000):
        window.add(NOON + timedelta(milliseconds=100 * tick))
    assert len(window.seconds) <= 12


def test_a_clock_that_goes_back_empties_no_window() -> None:
    window = Window(HOUR)
    window.add(NOON)
    window.add(NOON - timedelta(minutes=30))
    assert window.count(NOON - timedelta(minutes=30)) == 2


def test_calls_and_what_is_consequential_are_counted_by_session() -> None:
    seen = Sessions()
    seen.saw(a_call(1), READ, ALLOW)
    seen.saw(a_call(2), a_tool(), ALLOW)
    seen.saw(a_call(3, session="s2"), READ, ALLOW)
    assert (seen.calls_10m("s1", NOON), seen.consequential("s1")) == (2, 1)
    assert (seen.calls_10m("s2", NOON), seen.consequential("s2")) == (1, 0)
    assert (seen.calls_10m("s3", NOON), seen.consequential("s3")) == (0, 0)
    assert seen.calls_10m("s1", NOON + timedelta(minutes=11)) == 0


def test_every_session_is_tainted() -> None:
    assert Sessions().tainted("s1")


def test_only_allows_of_rated_rules_count_by_principal() -> None:
    seen = Sessions({"mail.rated": HOUR})
    seen.saw(a_call(1), a_tool(), ALLOW)
    seen.saw(a_call(2), a_tool(), replace(ALLOW, verdict=Verdict.ASK))
    assert seen.used("os:alice", NOON) == {"mail.rated": 1}
    assert seen.used("os:eve", NOON) == {}
    assert seen.used("os:alice", NOON + 2 * HOUR) == {"mail.rated": 0}


def test_a_new_policy_brings_new_windows() -> None:
    seen = Sessions({"mail.rated": timedelta(minutes=1)})
    seen.rates = {"mail.rated": HOUR, "mail.other": HOUR}
    seen.saw(a_call(1), a_tool(), ALLOW)
    assert seen.used("os:alice", NOON + timedelta(minutes=30)) == {"mail.rated": 1, "mail.other": 1}


def test_a_restart_empties_no_window() -> None:
    seen = Sessions({"files.rated": HOUR})
    seen.recall(a_record(1, rules=("files.rated",)))
    seen.recall(a_record(2, rules=("files.rated",), verdict="ask"))
    seen.recall(a_record(3, Kind.OUTCOME, rules=("files.rated",)))
    assert seen.used("os:alice", NOON) == {"files.rated": 1}
    assert (seen.calls_10m("s1", NOON), seen.consequential("s1")) == (2, 2)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REMEMBERED", 2)
    seen = Sessions({"mail.rated": HOUR})
    for number in range(5):
        principal = replace(a_call().principal, id=f"os:{number}")
        seen.saw(replace(a_call(1, session=str(number)), principal=principal), a_tool(), ALLOW)
    assert [seen.calls_10m(str(number), NOON) for number in range(5)] == [0, 0, 0, 1, 1]
    assert [seen.used(f"os:{number}", NOON) for number in range(5)] == [
        {},
        {},
        {},
        {"mail.rated": 1},
        {"mail.rated": 1},
    ]
