"""Sliding windows and counters in memory: never too few, and bounded."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway import sessions
from gateway.core.limits import IDLE, Counted, scope
from gateway.core.model import (
    Call,
    Client,
    Context,
    Decide,
    Decision,
    Kind,
    Place,
    Principal,
    Reason,
    Spend,
    Tier,
    Verdict,
)
from gateway.core.policy import Budget, Limits, Loop, Rate
from gateway.core.session import key_of
from gateway.sessions import Sessions, Window
from gateway.store import Store
from gateway.store.spent import spend
from tests.core.cases import policy_of
from tests.fakes import NOON, a_call, a_record, a_tool
from tests.store.memory import Memory, open_memory

HOUR = timedelta(hours=1)
BUDGET = Budget("mail.daily", ("*/*",), "principal", Decide.ASK, Place("mail.toml", 1), calls=9)
PRINCIPAL = scope(BUDGET, a_call(), NOON)[0]
LOOPED = policy_of("[loop]\nsame_call = 5\n")
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


def rated(**windows: timedelta) -> Limits:
    """The limits of a tool whose rules have such rates."""
    return Limits({f"mail.{name}": Rate(9, window) for name, window in windows.items()})


def used(seen: Sessions, limits: Limits, at: datetime = NOON, call: Call | None = None) -> Mapping[str, int]:
    """What is used of the rates of the limits."""
    return seen.counted(call or a_call(), a_tool(), limits, at).used


def counting(limits: Limits, store: Store | None = None) -> Sessions:
    """Sessions under a policy that wants these things counted."""
    seen = Sessions(store)
    seen.rates = {rule: rate.window for rule, rate in limits.rates.items()}
    return seen


def spending(*amounts: int, most: int = 10, scope: str = PRINCIPAL, since: datetime | None = None) -> Decision:
    """An allow that takes so much of a budget."""
    return replace(ALLOW, spends=tuple(Spend("mail.daily", scope, amount, most, since) for amount in amounts))


def test_only_allows_of_rated_rules_count_by_principal() -> None:
    limits = rated(rated=HOUR)
    seen = counting(limits)
    seen.saw(a_call(1), a_tool(), ALLOW)
    seen.saw(a_call(2), a_tool(), replace(ALLOW, verdict=Verdict.ASK))
    assert used(seen, limits) == {"mail.rated": 1}
    assert used(seen, limits, call=replace(a_call(), principal=Principal("os:eve", "os-user"))) == {}
    assert used(seen, limits, NOON + 2 * HOUR) == {"mail.rated": 0}
    assert used(seen, Limits()) == {}


def test_a_later_round_of_a_call_takes_nothing_more() -> None:
    limits = replace(rated(rated=HOUR), budgets=(BUDGET,), loops=(Loop(5),))
    seen = counting(limits)
    seen.follow(LOOPED)
    seen.rates = {"mail.rated": HOUR}
    for rounds in (0, 1, 2):
        seen.saw(a_call(1), a_tool(), spending(2), rounds)
    assert seen.counted(a_call(), a_tool(), limits, NOON) == Counted({"mail.rated": 1}, {"mail.daily": 2}, 1, 0)
    assert seen.calls_10m("s1", NOON) == 3


def test_a_new_policy_brings_new_windows() -> None:
    seen = counting(rated(rated=timedelta(minutes=1)))
    seen.rates = {"mail.rated": HOUR, "mail.other": HOUR}
    seen.saw(a_call(1), a_tool(), ALLOW)
    assert used(seen, rated(rated=HOUR, other=HOUR), NOON + timedelta(minutes=30)) == {
        "mail.rated": 1,
        "mail.other": 1,
    }


def test_a_restart_empties_no_window() -> None:
    limits = replace(rated(rated=HOUR), loops=(Loop(5),))
    seen = Sessions()
    seen.follow(LOOPED)
    seen.rates = {"mail.rated": HOUR}
    told = {"rules": ("mail.rated",), "arguments_digest": a_call().digest}
    seen.recall(a_record(1, **told))
    seen.recall(a_record(2, **{**told, "verdict": "ask"}))
    seen.recall(a_record(3, **told, extra={"round": 2}))
    seen.recall(a_record(4, Kind.OUTCOME, **told))
    assert seen.counted(a_call(), a_tool(), limits, NOON) == Counted({"mail.rated": 1}, {}, 2, 0)
    assert (seen.calls_10m("s1", NOON), seen.consequential("s1")) == (3, 3)


def test_the_same_call_is_counted_by_session_and_apart_from_its_refusals() -> None:
    seen, limits = Sessions(), Limits(loops=(Loop(5),))
    seen.refused(a_call(), a_tool())
    assert seen.counted(a_call(), a_tool(), limits, NOON) == Counted()  # nobody wants it to be counted
    seen.follow(LOOPED)
    seen.saw(a_call(1), a_tool(), ALLOW)
    seen.saw(a_call(2), a_tool(), ALLOW)
    seen.refused(a_call(3), a_tool())
    seen.refused(a_call(4, session="s2"), a_tool())
    assert seen.counted(a_call(), a_tool(), limits, NOON) == Counted({}, {}, 2, 1)
    assert seen.counted(a_call(session="s2"), a_tool(), limits, NOON) == Counted({}, {}, 0, 1)
    assert seen.counted(a_call(path="b.txt"), a_tool(), limits, NOON) == Counted()
    assert seen.counted(a_call(), a_tool("other"), limits, NOON) == Counted()


def test_so_many_calls_of_a_session_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REPEATED", 2)
    seen, limits = Sessions(), Limits(loops=(Loop(5),))
    seen.follow(LOOPED)
    for name in ("a", "b", "a", "c"):
        seen.saw(a_call(path=name), a_tool(), ALLOW)
    counts = {name: seen.counted(a_call(path=name), a_tool(), limits, NOON).repeated for name in "abc"}
    assert counts == {"a": 2, "b": 0, "c": 1}


def test_what_is_taken_of_a_budget_counts_at_once() -> None:
    seen, limits = Sessions(), Limits(budgets=(BUDGET,))
    seen.saw(a_call(1), a_tool(), spending(2))
    seen.saw(a_call(2), a_tool(), spending(3, 4))
    assert seen.counted(a_call(), a_tool(), limits, NOON).spent == {"mail.daily": 9}
    assert seen.counted(a_call(), a_tool(), limits, NOON + timedelta(days=1)).spent == {}


def test_a_session_that_nobody_named_begins_anew_once_it_was_idle() -> None:
    budget = replace(BUDGET, per="session")
    call = replace(a_call(), context=Context("seat", seat="seat"))
    seen, limits, later = Sessions(), Limits(budgets=(budget,)), NOON + IDLE + timedelta(seconds=1)
    whose, since = scope(budget, call, NOON)
    seen.saw(call, a_tool(), spending(2, scope=whose, since=since))
    assert seen.counted(call, a_tool(), limits, NOON + IDLE).spent == {"mail.daily": 2}
    assert seen.counted(call, a_tool(), limits, later).spent == {}
    seen.saw(replace(call, at=later), a_tool(), spending(3, scope=whose, since=later - IDLE))
    assert seen.counted(call, a_tool(), limits, later).spent == {"mail.daily": 3}


async def test_budgets_are_known_after_a_restart_and_the_store_has_the_last_word() -> None:
    limits = Limits(budgets=(BUDGET,))
    async with open_memory(Memory(), 10) as store:
        assert await store.append((), [spend(one, NOON) for one in spending(4).spends])
        seen = Sessions(store)
        await seen.load()
        assert seen.counted(a_call(), a_tool(), limits, NOON).spent == {"mail.daily": 4}
        # Another gateway takes 3 meanwhile: the 4 of this one can't be had any more.
        assert await store.append((), [spend(one, NOON) for one in spending(3).spends])
        seen.saw(a_call(1), a_tool(), spending(4))
        assert await seen.returned(spending(4).spends)
        assert seen.counted(a_call(), a_tool(), limits, NOON).spent == {"mail.daily": 7}
        seen.saw(a_call(2), a_tool(), spending(1))
        assert not await seen.returned(spending(1).spends)
        assert seen.counted(a_call(), a_tool(), limits, NOON).spent == {"mail.daily": 7}
        assert not await seen.returned(spending(4, since=NOON + HOUR).spends)  # that was another life


async def test_without_a_store_what_is_not_spent_is_given_back() -> None:
    seen = Sessions()
    await seen.load()
    assert not await seen.returned(spending(1).spends)
    seen.saw(a_call(1), a_tool(), spending(3))
    assert not await seen.returned(spending(1).spends)
    assert seen.counted(a_call(), a_tool(), Limits(budgets=(BUDGET,)), NOON).spent == {"mail.daily": 2}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REMEMBERED", 2)
    limits = replace(rated(rated=HOUR), budgets=(BUDGET,))
    seen = counting(limits)
    for number in range(5):
        principal = replace(a_call().principal, id=f"os:{number}")
        call = replace(a_call(1, session=str(number)), principal=principal)
        seen.saw(call, a_tool(), spending(1, scope=scope(BUDGET, call, NOON)[0]))
    assert [seen.calls_10m(str(number), NOON) for number in range(5)] == [0, 0, 0, 1, 1]
    callers = [replace(a_call(), principal=Principal(f"os:{number}", "os-user")) for number in range(5)]
    counts = [seen.counted(call, a_tool(), limits, NOON) for call in callers]
    assert counts == [Counted()] * 3 + [Counted({"mail.rated": 1}, {"mail.daily": 1})] * 2


def test_a_raised_session_without_a_name_is_raised_over_every_connection_of_its_client() -> None:
    seen = Sessions()
    call = a_call()
    raised = key_of(call.principal.id, call.client.name, "s_1")
    seen.raising.add(raised, "new-sink", NOON, NOON)
    named = f"{call.principal.id}/{call.client.name}/work"
    sessions = [replace(call, context=replace(call.context, session=name)) for name in ("s_1", "s_2", named)]
    other = replace(call, client=Client("other"))
    assert [seen.raised(each, NOON) for each in (*sessions, other)] == ["new-sink", "new-sink", "", ""]
