"""Leaks in the console: what their pages show, and what can be said of one there, and when it does not count."""

import re
from datetime import timedelta
from typing import Any

import pytest

from gateway.console.leaks import SHOWN, line_of, offered_for, word_of
from gateway.console.ports import LeakChoice, LeakWord
from gateway.core.leaks import LONGEST_ACCEPTED, LeakState, Seen
from gateway.core.model import Grade, Kind, Proof
from gateway.errors import ApprovalError
from gateway.reading import Row
from tests.console.room import HOST, LEAK, MARK, Room, Tab, a_leak, a_room, signed_in
from tests.fakes import NOON, a_record

DAY = timedelta(days=1)


async def shown(room: Room, tab: Tab, **more: Any) -> str:
    """Show a tab a leak for as long as it needs to be read; returns what an answer is given to."""
    leak = room.gate.a_leak(**more)
    assert (await tab.get(f"/data/leaks/{leak.id}")).status_code == 200
    room.read()
    return f"{leak.state.value} {leak.reopened}"


async def say(tab: Tab, was: str, **body: Any) -> Any:
    """Say something of the leak."""
    return await tab.post(f"/do/leaks/{LEAK}", {"was": was, **body})


async def test_a_list_tells_of_each_leak_what_somebody_has_to_know() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_leak(15, reopened=1)
        text = (await tab.get("/data/leaks")).text
        for words in (
            *("github", "files/read", "4× by claude-code", "redacted 3", 'class="warn">flagged 1<', "passed 1×"),
            *("owner o@example.com", "seen again", "day 15 of 27", "now for its business owner", f"/leaks/{LEAK}"),
        ):
            assert words in text
        assert text.count('class="tick"') == 2
        assert MARK not in text


async def test_the_page_of_a_leak_has_steps_calls_history_and_what_can_be_said() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_call_on_record()
        room.gate.a_leak(28, note="<i>why</i>", by="os:bob", at=NOON)
        text = (await tab.get(f"/data/leaks/{LEAK}")).text
        for words in (
            *("GitHub", "day 28 of 27: overdue", "content[0].&lt;b&gt;", "claude-code", "<code>s1</code>", "exposed"),
            *(
                'href="/decisions/d_0000000001"',
                "the last call",
                "told: due, day 7",
                "&lt;u&gt;soon&lt;/u&gt;",
                "&lt;i&gt;why&lt;/i&gt;",
            ),
            *('data-choice="rotating"', 'data-choice="rotated"', 'data-choice="accept"', "allow until", "2026-12-22"),
        ):
            assert words in text
        assert MARK not in text
        assert 'data-choice="open"' not in text


async def test_who_may_not_see_everybodys_records_sees_no_sessions_and_clients_of_others() -> None:
    async with signed_in() as (room, tab):
        room.gate.known = False
        room.gate.a_leak(seen=Seen({"files": 1}, {"files/read": 1}, {"s-of-others": 1}, {"client-of-others": 1}, {}))
        text = (await tab.get(f"/data/leaks/{LEAK}")).text
        assert "of-others" not in text
        assert "/decisions/" not in text


@pytest.mark.parametrize("id", [LEAK, "l_ZZZZ", "l_0000000001'--", "%00"])
async def test_a_leak_that_is_nobodys_is_not_shown_and_takes_no_word(id: str) -> None:
    async with signed_in() as (room, tab):
        assert (await tab.get(f"/data/leaks/{id}")).status_code in (400, 404)
        assert (await tab.post(f"/do/leaks/{id}", {"choice": "rotating", "was": "open 0"})).status_code in (400, 404)
        assert room.gate.done == []


async def test_without_a_leak_the_page_says_so_and_a_filter_that_finds_none_says_how_many_there_are() -> None:
    async with signed_in() as (room, tab):
        assert "No secret was seen" in (await tab.get("/data/leaks")).text
        room.gate.a_leak()
        assert "1 leak is known" in (await tab.get("/data/leaks?show=rotated")).text
        assert LEAK in (await tab.get("/data/leaks?show=<script>")).text, "what can't be shown is what is to be done"


@pytest.mark.parametrize(
    ("days", "state", "more", "fits"),
    [
        (0, LeakState.OPEN, {}, {"todo", "passed", "all"}),
        (8, LeakState.OPEN, {}, {"todo", "due", "passed", "all"}),
        (8, LeakState.ROTATING, {"seen": Seen()}, {"todo", "rotating", "all"}),
        (28, LeakState.ROTATING, {"seen": Seen()}, {"todo", "due", "rotating", "all"}),
        (28, LeakState.ACCEPTED, {"until": NOON + DAY, "seen": Seen()}, {"accepted", "all"}),
        (28, LeakState.ACCEPTED, {"until": NOON, "seen": Seen()}, {"accepted", "todo", "all"}),
        (28, LeakState.ROTATED, {}, {"rotated", "passed", "all"}),
    ],
)
def test_a_leak_stands_where_it_belongs(days: int, state: LeakState, more: dict[str, Any], fits: set[str]) -> None:
    leak = a_leak(days, state, **more)
    assert {word for word, (_, holds) in SHOWN.items() if holds(leak, NOON)} == fits


@pytest.mark.parametrize(
    ("days", "state", "more", "words", "stage"),
    [
        (0, LeakState.OPEN, {}, "day 0 of 27", "opened"),
        (7, LeakState.OPEN, {}, "day 7 of 27: due", "due"),
        (7, LeakState.ROTATING, {}, "day 7 of 27", "opened"),
        (14, LeakState.ROTATING, {}, "day 14 of 27: now for its business owner", "owner"),
        (30, LeakState.OPEN, {}, "day 30 of 27: overdue", "overdue"),
        (9, LeakState.ROTATED, {"at": NOON - 8 * DAY}, "rotated after 1 day", "settled"),
        (9, LeakState.ACCEPTED, {"at": NOON - 6 * DAY, "until": NOON}, "its acceptance is over", "settled"),
    ],
)
def test_the_age_of_a_leak_is_told_in_words(
    days: int, state: LeakState, more: dict[str, Any], words: str, stage: str
) -> None:
    line = line_of(a_leak(days, state, **more), NOON)
    assert (line["words"], line["stage"]) == (words, stage)
    assert f'aria-label="{words}"' in line["bar"]


def test_names_are_bounded_and_show_what_they_hide() -> None:
    many = Seen({}, {f"files/\u202e{number}": 1 for number in range(5)})
    assert line_of(a_leak(seen=many), NOON)["where"].endswith("and 2 more")
    assert "\\u{202e}" in line_of(a_leak(seen=many), NOON)["where"]
    assert line_of(a_leak(seen=Seen()), NOON)["where"] == "a client's own words"


async def test_each_word_reaches_the_gate_once_under_the_signed_in_name() -> None:
    async with signed_in() as (room, tab):
        said: list[tuple[dict[str, Any], LeakWord, str]] = [
            ({"choice": "rotating", "by": "os:root"}, LeakWord(LeakChoice.ROTATING), "rotating"),
            ({"choice": "rotated", "note": " revoked "}, LeakWord(LeakChoice.ROTATED, "revoked"), "rotated"),
            ({"choice": "open"}, LeakWord(LeakChoice.OPEN), "open"),
            ({"choice": "accept", "note": "test", "days": 7}, LeakWord(LeakChoice.ACCEPT, "test", 7 * DAY), "accepted"),
        ]
        was = await shown(room, tab)
        for body, _, state in said:
            answer = await say(tab, was, **body)
            assert (answer.status_code, answer.json()["state"]) == (200, state), answer.text
            was = f"{state} 0"
        assert room.gate.done == [("leak", LEAK, word, "os:ada", Proof.LOCAL) for _, word, _ in said]


async def test_a_false_positive_is_one_click_and_ends_after_thirty_days() -> None:
    async with signed_in() as (room, tab):
        answer = await say(tab, await shown(room, tab), choice="allow")
        assert answer.json()["until"] == "2026-12-22T12:00:00.700000Z"
        assert room.gate.done == [("leak", LEAK, LeakWord(LeakChoice.ALLOW, "", 30 * DAY), "os:ada", Proof.LOCAL)]


@pytest.mark.parametrize("choice", ["accept", "allow"])
async def test_what_lets_a_secret_stay_is_read_first_in_the_same_tab(choice: str) -> None:
    async with signed_in() as (room, tab), room.browser() as http:
        room.gate.a_leak()
        body = {"choice": choice, "note": "fine"}
        assert (await say(tab, "open 0", **body)).json()["objection"] == "unread"
        await shown(room, tab)
        other = Tab(http)
        await other.sign_in(room.link("os:bob"))
        assert (await say(other, "open 0", **body)).json()["objection"] == "unread"
        assert room.gate.done == []


async def test_who_only_saw_it_in_own_calls_is_shown_it_and_decides_nothing() -> None:
    async with signed_in() as (room, tab):
        was = await shown(room, tab)
        room.gate.may = False
        text = (await tab.get(f"/data/leaks/{LEAK}")).text
        assert "data-choice" not in text
        assert "said by its owner" in text
        room.read()
        for choice in LeakChoice:
            answer = await say(tab, was, choice=choice.value, note="x")
            assert (answer.status_code, answer.json()["objection"]) == (409, "not-permitted")
        assert room.gate.done == []


@pytest.mark.parametrize(
    ("body", "objection"),
    [
        ({}, "choice"),
        ({"choice": "forget"}, "choice"),
        ({"choice": ["open"]}, "choice"),
        ({"choice": "rotated"}, "note"),
        ({"choice": "rotated", "note": "  "}, "note"),
        ({"choice": "rotated", "note": 7}, "note"),
        ({"choice": "rotating", "note": {}}, "note"),
        ({"choice": "accept"}, "note"),
        ({"choice": "accept", "note": "x", "days": 0}, "days"),
        ({"choice": "accept", "note": "x", "days": 91}, "days"),
        ({"choice": "allow", "days": True}, "days"),
        ({"choice": "allow", "days": "30"}, "days"),
        ({"choice": "allow", "days": None}, "days"),
        ({"choice": "open"}, "not-offered"),
        ({"choice": "rotating", "was": "open 1"}, "shape"),
        ({"choice": "rotating", "was": None}, "shape"),
    ],
)
async def test_what_can_not_be_read_or_is_not_of_this_leak_does_nothing(body: dict[str, Any], objection: str) -> None:
    async with signed_in() as (room, tab):
        was = await shown(room, tab)
        answer = await tab.post(f"/do/leaks/{LEAK}", {"was": was, **body})
        assert (answer.status_code, answer.json()["objection"]) == (409, objection)
        assert room.gate.done == []


async def test_a_secret_of_the_gateway_itself_is_no_false_positive() -> None:
    async with signed_in() as (room, tab):
        was = await shown(room, tab, grade=Grade.EXACT)
        assert 'data-choice="allow"' not in (await tab.get(f"/data/leaks/{LEAK}")).text
        room.read()
        assert (await say(tab, was, choice="allow")).json()["objection"] == "not-offered"
        assert room.gate.done == []


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (LeakState.OPEN, ["rotating", "rotated", "accept", "allow"]),
        (LeakState.ROTATING, ["rotated", "accept", "allow", "open"]),
        (LeakState.ROTATED, ["open"]),
        (LeakState.ACCEPTED, ["rotating", "rotated", "accept", "allow", "open"]),
    ],
)
def test_what_can_be_said_follows_from_what_it_is(state: LeakState, offered: list[str]) -> None:
    assert offered_for(a_leak(state=state)) == offered


def test_the_longest_time_is_taken_and_no_longer_one() -> None:
    longest = LONGEST_ACCEPTED.days
    assert word_of({"choice": "allow", "days": longest}).lasts == LONGEST_ACCEPTED
    with pytest.raises(ApprovalError):
        word_of({"choice": "allow", "days": longest + 1})


async def test_the_former_page_of_secrets_leads_here_and_only_on_this_host() -> None:
    async with a_room() as room, room.browser() as http:
        answer = await http.get("/secrets", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (308, "/leaks")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert (await http.get("/secrets", headers={"host": f"evil.{HOST}"})).status_code in (403, 404)


async def test_a_long_list_says_how_many_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.console.pages.MOST_LEAKS", 1)
    async with signed_in() as (room, tab):
        room.gate.a_leak()
        room.gate.leaked["l_other"] = a_leak(id="l_other")
        text = (await tab.get("/data/leaks")).text
        assert len(re.findall("data-row=", text)) == 1
        assert "1 more" in text


async def test_a_decision_leads_to_the_leak_that_it_saw_and_the_record_to_what_was_said_of_it() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_call_on_record()
        text = (await tab.get("/data/decisions/d_0000000001")).text
        assert f'<a href="/leaks/{LEAK}">github</a>' in text
        assert "<small>redacted</small>" in text
        room.gate.recorded = [Row(5, a_record(9, Kind.LEAK, id=LEAK, extra={"kind": "github", "state": "rotated"}))]
        text = (await tab.get("/data/decisions?kind=leak")).text
        assert f'href="/leaks/{LEAK}"' in text
        assert "rotated" in text


async def test_the_page_of_upstreams_says_how_far_each_is_screened() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/upstreams")).text
        for words in ("all text screened", "what is found passes", "&lt;b&gt;", "and 3 more"):
            assert words in text
