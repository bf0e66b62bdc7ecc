"""What a leak is, what a record shows of it, what may be said of it, and when it is due."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.leaks import (
    COLUMNS,
    MOST_FOLLOWED,
    MOST_NAMED,
    MOST_TOLD,
    Leak,
    LeakState,
    Seen,
    Source,
    Stage,
    continued,
    leak_id,
    leak_item,
    leak_of,
    lines,
    read_whole,
    sights,
    source_of,
)
from gateway.core.model import Act, Finding, Grade, Kind
from gateway.core.record import stamp
from gateway.core.remedy import STEPS, steps
from gateway.core.screen import MAX_FINDINGS
from gateway.ids import normal
from tests.fakes import NOON, a_record

DAY = timedelta(days=1)
OPEN, ROTATING, ROTATED, ACCEPTED = LeakState


def a_leak(**more: Any) -> Leak:
    """A token that was seen at noon."""
    about: dict[str, Any] = {
        "id": leak_id("github-pat", "ab" * 8),
        "kind": "github-pat",
        "fingerprint": "ab" * 8,
        "generation": "f" * 16,
        "grade": Grade.VENDOR,
        "state": OPEN,
        "owner": "ada",
        "first_seen": NOON,
        "last_seen": NOON + DAY,
        "times": 3,
        "opened_at": NOON,
        "source": Source("files", "read_file", "00"),
        "first_call": "d_1",
        "last_call": "d_3",
        "place": "content[0].text",
        "seen": Seen({"files": 3}, {"files/read_file": 3}, {"s1": 2, "s2": 1}, {"claude": 3}, {"redacted": 3}),
    }
    return Leak(**{**about, **more})


def found(kind: str = "github-pat", place: str = "content[0].text", **more: Any) -> Finding:
    return Finding(kind, place, "ab" * 8, **more)


def test_an_id_follows_from_kind_and_fingerprint_and_can_be_typed() -> None:
    made = leak_id("github-pat", "ab" * 8)
    assert made == leak_id("github-pat", "ab" * 8) == normal(made.lower())
    assert len(made) == 12
    assert len({made, leak_id("github-pat", "cd" * 8), leak_id("jwt", "ab" * 8)}) == 3


def test_a_record_shows_each_secret_once_with_all_that_became_of_it() -> None:
    record = a_record(
        findings=(
            found(place="arguments.body", act=Act.BLOCKED),
            found(act=Act.REDACTED),
            found(place="content[1].text", act=Act.REDACTED),
            found("jwt", grade=Grade.GENERIC),
            found("gateway-secret", exact=True),
        )
    )
    token, jwt, own = sights(record)
    assert (token.leak, token.acts, token.place) == (a_leak().id, (Act.BLOCKED, Act.REDACTED), "arguments.body")
    assert (token.read, jwt.grade, own.grade) == (True, Grade.GENERIC, Grade.EXACT)


def test_personal_data_is_no_leak() -> None:
    (token,) = sights(a_record(findings=(found("email"), found())))
    assert token.kind == "github-pat"


def test_what_a_client_sent_or_said_was_not_read_from_a_source() -> None:
    for place in ("arguments.body", "answer.content.name"):
        (sent,) = sights(a_record(findings=(found(place=place),)))
        assert not sent.read
    for kind in (Kind.PROMPT, Kind.CLIENT_TOOL):
        (said,) = sights(a_record(1, kind, findings=(found(place="text"),)))
        assert not said.read


def test_no_more_secrets_of_one_record_are_followed_than_may_be() -> None:
    many = tuple(Finding("jwt", f"[{number}]", f"{number:016x}") for number in range(MOST_FOLLOWED + 1))
    again = replace(many[0], act=Act.FLAGGED)
    shown = sights(a_record(findings=(*many, again)))
    assert len(shown) == MOST_FOLLOWED
    assert shown[0].acts == (Act.REDACTED, Act.FLAGGED)


def test_only_the_answer_of_a_call_has_a_source() -> None:
    outcome = a_record(1, Kind.OUTCOME)
    assert source_of(outcome) == Source("files", "write_file", "00" * 32)
    assert source_of(a_record(1, Kind.INTENT)) is None
    for missing in ("upstream", "tool", "arguments_digest"):
        assert source_of(a_record(1, Kind.OUTCOME, **{missing: ""})) is None


def test_as_many_findings_as_are_told_may_not_be_all() -> None:
    assert MOST_TOLD == MAX_FINDINGS


def test_an_answer_that_left_unscreened_shows_nothing() -> None:
    assert not read_whole(a_record(1, Kind.OUTCOME, outcome="ok", release="full", reason="unscreened"))


@pytest.mark.parametrize(
    ("outcome", "release", "count", "whole"),
    [
        ("ok", "full", 0, True),
        ("ok", "redacted", MOST_TOLD - 1, True),
        ("ok", "redacted", MOST_TOLD, False),
        ("ok", "withheld", 0, False),
        ("error", "full", 0, False),
    ],
)
def test_only_an_answer_that_was_screened_to_its_end_shows_what_is_not_in_it(
    outcome: str, release: str, count: int, whole: bool
) -> None:
    record = a_record(1, Kind.OUTCOME, outcome=outcome, release=release, findings=(found(),) * count)
    assert read_whole(record) is whole


@pytest.mark.parametrize(
    ("state", "days", "stage"),
    [
        (OPEN, 0, Stage.OPENED),
        (OPEN, 7, Stage.DUE),
        (ROTATING, 7, Stage.OPENED),
        (OPEN, 14, Stage.OWNER),
        (ROTATING, 14, Stage.OWNER),
        (OPEN, 27, Stage.OVERDUE),
        (ROTATING, 27, Stage.OVERDUE),
        (ROTATED, 99, None),
        (ACCEPTED, 99, None),
    ],
)
def test_a_leak_comes_to_its_stages_by_its_days(state: LeakState, days: int, stage: Stage | None) -> None:
    leak = a_leak(state=state, until=NOON + 99 * DAY if state is ACCEPTED else None)
    assert leak.stage(NOON + days * DAY) is stage
    if days and stage is not None and state is OPEN:
        assert leak.stage(NOON + days * DAY - timedelta(seconds=1)) is Stage(stage - 1)


def test_days_are_counted_until_it_is_settled() -> None:
    leak = a_leak()
    assert [leak.days(NOON + 27 * DAY), leak.days(NOON - DAY)] == [27, 0]
    assert (leak.due_at, leak.owner_told_at, leak.overdue_at) == (NOON + 7 * DAY, NOON + 14 * DAY, NOON + 27 * DAY)
    rotated = a_leak(state=ROTATED, at=NOON + 5 * DAY)
    assert [rotated.days(NOON + 27 * DAY), rotated.counts(NOON)] == [5, False]
    assert a_leak(state=ROTATED).days(NOON + 6 * DAY) == 6


def test_an_acceptance_that_is_over_counts_again() -> None:
    accepted = a_leak(state=ACCEPTED, at=NOON, until=NOON + DAY)
    assert [accepted.lapsed(NOON), accepted.counts(NOON)] == [False, False]
    assert [accepted.lapsed(NOON + DAY), accepted.counts(NOON + DAY)] == [True, True]
    assert not a_leak(state=ACCEPTED).lapsed(NOON + DAY)


@pytest.mark.parametrize("before", LeakState)
@pytest.mark.parametrize("after", LeakState)
def test_only_some_moves_may_be_made(before: LeakState, after: LeakState) -> None:
    refused = {(OPEN, OPEN), (ROTATING, ROTATING), *((ROTATED, state) for state in (ROTATING, ROTATED, ACCEPTED))}
    assert a_leak(state=before).may_become(after) is ((before, after) not in refused)


def test_what_passed_counts_as_well() -> None:
    assert a_leak().passed == 0
    assert a_leak(seen=Seen(acts={"redacted": 4, "flagged": 2, "allowed": 1})).passed == 3


def test_a_leak_that_goes_on_under_another_key_stays_what_it_was() -> None:
    old = a_leak(state=ACCEPTED, at=NOON, until=NOON + 9 * DAY, clean_at=NOON)
    assert continued(old, "l_2", "cd", None) == replace(old, id="l_2", fingerprint="cd")
    source = Source("files", "read_file", "11")
    new = a_leak(id="l_2", last_seen=NOON + 5 * DAY, times=2, opened_at=NOON + 4 * DAY, source=source, told=1)
    after = continued(old, "l_2", "cd", new)
    assert (after.state, after.until, after.opened_at, after.reopened) == (ACCEPTED, old.until, NOON, 0)
    assert (after.times, after.last_seen, after.source, after.clean_at) == (5, NOON + 5 * DAY, source, None)
    unread = continued(old, "l_2", "cd", replace(new, source=None))
    assert (unread.source, unread.clean_at) == (old.source, NOON)


@pytest.mark.parametrize(
    ("about", "again"),
    [
        ({"state": ROTATED, "at": NOON}, True),
        ({"state": ROTATED, "at": NOON + 2 * DAY}, False),
        ({"state": ACCEPTED, "at": NOON, "until": NOON + DAY}, True),
        ({"state": ACCEPTED, "at": NOON, "until": NOON + 2 * DAY}, False),
        ({"state": ROTATING, "at": NOON}, False),
    ],
)
def test_a_leak_that_was_dealt_with_is_open_again_if_it_was_seen_under_the_next_key(
    about: dict[str, Any], again: bool
) -> None:
    old, new = a_leak(**about, told=4), a_leak(id="l_2", opened_at=NOON + DAY, told=1)
    after = continued(old, "l_2", "cd", new)
    assert (after.state is OPEN, after.reopened, after.told) == (again, int(again), 1 if again else 4)
    assert after.opened_at == (NOON + DAY if again else NOON)


def row(leak: Leak) -> tuple[Any, ...]:
    """A leak as a store keeps it."""
    source = leak.source or Source("", "", "")
    kept = {**{name: getattr(leak, name, "") for name in COLUMNS}, **source._asdict()}
    kept |= {name: stamp(at) if (at := kept[name]) else "" for name in ("clean_at", "at", "until")}
    kept |= {name: stamp(kept[name]) for name in ("first_seen", "last_seen", "opened_at")}
    return tuple(getattr(value, "value", value) for value in (kept[name] for name in COLUMNS))


def test_a_leak_is_read_as_it_was_kept_the_most_frequent_names_first() -> None:
    counts = [("session", "s2", 1), ("act", "redacted", 3), ("session", "s1", 2), ("upstream", "files", 3)]
    counts += [("tool", "files/read_file", 3), ("client", "claude", 3)]
    kept = leak_of(row(a_leak()), counts)
    assert kept == a_leak()
    assert list(kept.seen.sessions) == ["s1", "s2"]
    settled = a_leak(
        state=ACCEPTED, source=None, clean_at=NOON, at=NOON, until=NOON + DAY, seen=Seen({}, {}, {}, {}, {})
    )
    assert leak_of(row(settled)) == settled


def test_an_item_holds_what_commands_and_pages_need_and_no_secret() -> None:
    item = leak_item(a_leak(), NOON + 8 * DAY)
    assert (item["state"], item["stage"], item["days"], item["passed"]) == ("open", "due", 8, 0)
    assert (item["exposed"], item["clean_at"], item["at"], item["until"]) == (True, None, None, None)
    assert item["source"] == {"upstream": "files", "tool": "read_file", "arguments_digest": "00"}
    assert item["steps"] == list(STEPS["github"])
    settled = a_leak(state=ACCEPTED, source=None, clean_at=NOON, at=NOON, until=NOON + DAY)
    item = leak_item(settled, NOON)
    assert (item["stage"], item["source"], item["exposed"]) == (None, None, False)
    assert (item["clean_at"], item["at"], item["until"]) == (stamp(NOON), stamp(NOON), stamp(NOON + DAY))


def test_a_leak_in_words_says_how_far_it_is() -> None:
    told = dict(lines(a_leak(), NOON + 8 * DAY))
    assert told["state"] == "open for 8 of 27 days"
    assert told["sessions"] == "s1 (2), s2 (1)"
    assert "passed" not in told
    assert "said" not in told
    more = a_leak(reopened=2, clean_at=NOON, seen=Seen(acts={"flagged": 2}), by="os:ada", at=NOON, note="new key")
    told = dict(lines(more, NOON))
    assert told["state"].endswith("reopened 2 times")
    assert told["passed"] == "2 times"
    assert told["exposed"].startswith("no")
    assert told["said"].startswith("by os:ada")
    assert dict(lines(a_leak(state=ROTATED), NOON))["state"] == "rotated"
    accepted = a_leak(state=ACCEPTED, until=NOON + DAY, false_positive=True)
    assert dict(lines(accepted, NOON))["state"].startswith("accepted, as no secret, until")
    lapsed = replace(accepted, false_positive=False)
    assert dict(lines(lapsed, NOON + DAY))["state"].endswith("(over)")


def test_only_some_of_many_names_are_told_in_words() -> None:
    many = {f"s{number}": 1 for number in range(MOST_NAMED + 3)}
    assert dict(lines(a_leak(seen=Seen(sessions=many)), NOON))["sessions"].endswith("s7 (1), and 3 more")


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("github-pat", "github"),
        ("gateway-secret", "gateway-secret"),
        ("aws-secret-access-key", "aws"),
        ("google-api-key", "gcp"),
        ("private-key", "private-key"),
        ("encrypted-private-key", "private-key"),
        ("url-password", "url-password"),
        ("mongodb-uri", "url-password"),
    ],
)
def test_a_kind_has_the_steps_of_its_vendor(kind: str, named: str) -> None:
    assert steps(kind) == STEPS[named] == a_leak(kind=kind).steps


def test_any_other_kind_has_general_steps() -> None:
    assert steps("something-new") not in STEPS.values()
    assert len(steps("something-new")) > 2
