"""A policy simulated over a recorded day: the one that was in force decides every call as it did."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway.core.model import Done, Held, Kind, Record
from gateway.core.policy import Policy
from gateway.core.record import encode
from gateway.core.replay import Untold
from gateway.core.simulate import Again, Change, Report, Simulation, differs, report_items
from gateway.errors import StateError
from gateway.reading import reading
from gateway.replaying import grants, rows, simulate
from gateway.schema import STORE_NAME
from tests.day import ADA, KEY, LIMITS, OVERDUE, POLICY, a_day, a_limited_day, policy_of, recording
from tests.fakes import NOON

ALL = {
    *("tier-default", "rule", "rule-error", "rate-exceeded", "unproven", "proven", "vouched", "granted"),
    *("arguments-too-large", "self-protection", "exact-secret", "frozen", "unknown-tool", "upstream-down"),
    *("redacted-value", "tool-barred", "tool-changed"),
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a day."""
    folder = tmp_path_factory.mktemp("day") / "state"
    anyio.run(a_day, folder)
    return folder


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a day with budgets and loops."""
    folder = tmp_path_factory.mktemp("limited") / "state"
    anyio.run(a_limited_day, folder)
    return folder


def played(state: Path, policy: Policy) -> list[tuple[Record, Again | Untold]]:
    """What came of each call."""
    with reading(state) as db:
        simulation = Simulation(policy, grants(db), keys=(KEY,))
        made = [(row.record, simulation.take(row.seq, row.record)) for row in rows(db, None)]
    return [(record, one) for record, one in made if one is not None]


def simulated(state: Path, policy: str, **more: str) -> Report:
    with reading(state) as db:
        return simulate(db, policy_of(policy, **more), None, keys=(KEY,))


def line(text: str) -> int:
    """The line behind a text."""
    return text.count("\n") + 1


def counted(report: Report, change: Change) -> dict[tuple[str, ...], int]:
    return {group.rules: group.count for group in report.groups if group.change is change}


def test_the_policy_that_was_in_force_decides_every_call_of_a_day_again(state: Path) -> None:
    made = played(state, policy_of())
    again = [one for _, one in made if isinstance(one, Again)]
    wrong = [(one.past.record.called, one.then, one.now) for one in again if differs(one.then, one.now)]
    assert wrong == []
    assert {one.now.reason.value for one in again} == ALL
    assert {one.then.verdict.word for one in again} == {"allow", "ask", "block"}
    # What it can't decide again it says: a secret was taken out of these arguments.
    untold = [(record.tool, one.value) for record, one in made if isinstance(one, Untold)]
    assert untold == [("write", "arguments-redacted")]


@pytest.mark.parametrize("more", ["", "# another revision\n"], ids=["in force", "recounted"])
def test_budgets_loops_and_what_is_observed_are_decided_again(limited: Path, more: str) -> None:
    made = played(limited, policy_of(POLICY, limits=f"{LIMITS}{more}", old=OVERDUE))
    again = [one for _, one in made if isinstance(one, Again)]
    assert len(again) == len(made)
    assert [(one.past.record.called, one.then, one.now) for one in again if differs(one.then, one.now)] == []
    assert {one.now.reason.value for one in again} >= {"budget-exceeded", "loop", "observed", "review-overdue"}


def test_a_budget_or_loop_that_was_not_in_force_is_counted_from_the_calls(limited: Path) -> None:
    tighter = LIMITS.replace("calls = 2", "calls = 1").replace("same_call = 3", "same_call = 2")
    report = simulated(limited, POLICY, limits=tighter, old=OVERDUE)
    assert counted(report, Change.ASKED) == {("puts",): 1}
    assert counted(report, Change.BLOCKED) == {("[loop]",): 1}


def test_every_call_of_the_day_is_in_it(state: Path) -> None:
    """No call that has a record of its own is passed over: each has one outcome."""
    with reading(state) as db:
        ended = [row.record.id for row in rows(db, None) if row.record.kind is Kind.OUTCOME]
    assert sorted(record.id for record, _ in played(state, policy_of())) == sorted(ended)


def test_a_report_of_the_same_policy_says_that_nothing_changes(state: Path) -> None:
    report = simulated(state, POLICY)
    assert (report.groups, report.otherwise, report.prompts_then) == ((), 0, report.prompts_now)
    assert report.same == report.calls - 1
    assert report.waited > 3  # and what only ever waited is decided again, too
    assert report.prompts_a_week == 0


def test_what_another_policy_would_have_changed_is_told_by_rule_with_the_smallest_example(state: Path) -> None:
    stop = '[[rule]]\nid = "up.stop"\ntools = "send"\nwhen = \'args.to.endsWith("@evil.example")\'\ndecide = "block"\n'
    loose = POLICY.replace('when = "args.n > 3"\ndecide = "ask"', 'when = "args.n > 3"\ndecide = "allow"')
    report = simulated(state, loose + stop)
    assert counted(report, Change.BLOCKED) == {("up.stop",): 2}
    assert counted(report, Change.ALLOWED) == {("up.number",): 1}
    assert counted(report, Change.ASKED) == {}
    blocked = report.groups[0]
    assert blocked.example.past.record.arguments == {"to": "mallory@evil.example", "body": "first"}
    assert blocked.places == (f"policies/up.toml:{line(loose)}",)
    assert report.prompts_then - report.prompts_now == 3
    assert report.prompts_a_week == -3 * 7  # of a time that is taken for a day


def test_what_is_asked_anew_adds_prompts(state: Path) -> None:
    report = simulated(
        state, POLICY.replace('match = ["read", "get"]\neffect = "read"', 'match = "get"\neffect = "read"')
    )
    asked = counted(report, Change.ASKED)
    assert asked[()] > 0  # `read` has no label any more: the tier's default asks
    assert report.prompts_a_week > 0


def test_the_same_records_and_policy_give_the_same_bytes(state: Path) -> None:
    told = [json.dumps(report_items(simulated(state, POLICY + "# x\n"))) for _ in range(2)]
    assert told[0] == told[1]


def test_rates_of_another_revision_are_counted_from_the_calls_themselves(state: Path) -> None:
    tighter = simulated(state, POLICY.replace("3/hour", "1/hour"))
    assert counted(tighter, Change.ASKED) == {("up.rated",): 3}
    unchanged = simulated(state, POLICY + "# another revision\n")
    assert unchanged.groups == ()


CHANGES = {
    "arguments-changed": ("set", {'set = { mode = "safe" }\n': 'when = "has(args.path)"\n'}),
    "arguments-not-kept": (
        "quiet",
        {'tools = "put"': 'tools = ["put", "quiet"]', "in principal.roles'": "in principal.roles || size(sinks) > 3'"},
    ),
    "origins-not-kept": (
        "read",
        {
            'match = ["read", "get"]\neffect = "read"': 'match = "get"\neffect = "read"',
            'match = ["write",': 'match = ["read", "write",',
            'tools = ["send", "pay", "note"]': 'tools = ["send", "pay", "note", "read"]',
            'id = "up.number"\ntools = "read"': 'id = "up.number"\ntools = "get"',
        },
    ),
}


@pytest.mark.parametrize("why", CHANGES)
def test_what_can_not_be_told_is_counted_and_never_guessed(state: Path, why: str) -> None:
    tool, changes = CHANGES[why]
    text = POLICY
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    made = played(state, policy_of(text))
    untold = {(record.tool, one.value) for record, one in made if isinstance(one, Untold)}
    assert (tool, why) in untold


def test_a_grant_that_is_forgotten_or_can_not_be_compared_leaves_its_calls_untold(state: Path) -> None:
    for given, keys in (({}, (KEY,)), (None, (b"another key" * 3,))):
        with reading(state) as db:
            kept = grants(db) if given is None else given
            simulation = Simulation(policy_of(), kept, keys=keys)
            for row in rows(db, None):
                simulation.take(row.seq, row.record)
        report = simulation.report()
        assert report.untold["grant-forgotten"] > 0
        assert report.groups == ()


def test_only_calls_since_a_time_are_told_and_those_before_count_for_rates(state: Path) -> None:
    since = NOON + timedelta(seconds=30)
    with reading(state) as db:
        report = simulate(db, policy_of(POLICY + "# another revision\n"), since, keys=(KEY,))
        whole = simulate(db, policy_of(POLICY + "# another revision\n"), None, keys=(KEY,))
    assert 0 < report.calls < whole.calls
    assert report.groups == ()


def test_a_principal_is_told_of_its_own_calls_alone(state: Path) -> None:
    with reading(state) as db:
        assert simulate(db, policy_of(), None, "os:sam").calls == 1
        assert simulate(db, policy_of(), None, "os:nobody").calls == 0


async def test_it_reads_beside_a_gateway_that_runs(tmp_path: Path) -> None:
    def look() -> int:
        with reading(tmp_path / "state") as db:
            return simulate(db, policy_of(), None).calls

    with anyio.fail_after(30):
        async with recording(tmp_path / "state") as day:
            assert isinstance(await day.call("put", who=ADA, path="/tmp/a"), Held)
            assert isinstance(await day.call("set", path="/tmp/a"), Done)
            assert await anyio.to_thread.run_sync(look) == 2
            assert isinstance(await day.call("set", path="/tmp/b"), Done)
            assert await anyio.to_thread.run_sync(look) == 3


def test_a_row_or_a_grant_that_can_not_be_read_is_an_error(tmp_path: Path, state: Path) -> None:
    copy = tmp_path / "state"
    copy.mkdir()
    (copy / STORE_NAME).write_bytes((state / STORE_NAME).read_bytes())
    with closing(sqlite3.connect(copy / STORE_NAME)) as db:
        db.execute("UPDATE granted SET body = x'00'")
        db.commit()
    with reading(copy) as db, pytest.raises(StateError):
        simulate(db, policy_of(), None)
    with closing(sqlite3.connect(copy / STORE_NAME)) as db:
        db.execute("UPDATE record SET body = x'00' WHERE seq = 2")
        db.execute("DELETE FROM granted")
        db.commit()
    with reading(copy) as db, pytest.raises(StateError):
        simulate(db, policy_of(), None)


def test_facts_of_a_record_hold_no_value_of_the_arguments(state: Path) -> None:
    with reading(state) as db:
        told = [encode(Record(Kind.INTENT, "d", NOON, facts=row.record.facts)) for row in rows(db, None)]
    for word in (b"eve@other", b"mallory", b"/tmp/", b"the-own-key", b"a secret", b"DE021203"):
        assert not any(word in each for each in told)


def test_where_a_secret_was_taken_out_of_arguments_no_place_in_them_is_told(state: Path) -> None:
    with reading(state) as db:
        calls = [row.record for row in rows(db, None) if row.record.facts and row.record.tier == "write"]
    redacted = [one for one in calls if any(found.place.startswith("arguments.") for found in one.findings)]
    assert len(redacted) > 0
    assert not any("values" in one.facts for one in redacted)
    assert any("values" in one.facts for one in calls)
