"""What pages show, and that whatever comes from outside is text on them and nothing else."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.console.access import DeniedError
from gateway.console.looks import coded, hidden, share, span, when
from gateway.console.pages import Pages, editable, hours_back, query_of
from gateway.core.model import AGAIN, ApprovalState, Freeze, Proof, Requirement
from gateway.core.view import History
from tests.console.room import DANGER, FIRST, LOOKS, SECOND, FakeGate, signed_in
from tests.fakes import NOON, FakeClock

EVERY = (
    "",
    "grants",
    "decisions",
    "figures",
    "figures?days=30",
    "sessions",
    "upstreams",
    "leaks",
    "leaks?show=all",
    "policy",
    "you",
    "head",
)


@pytest.mark.parametrize("page", EVERY)
async def test_a_page_has_its_data_and_no_markup_of_anybody_elses(page: str) -> None:
    async with signed_in() as (room, tab):
        room.gate.a_grant()
        room.gate.a_call_on_record()
        room.gate.held.append(Freeze("l_1", "files", "", "", "os:ada", NOON, "<u>why</u>"))
        answer = await tab.get(f"/data/{page}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"<(b|i|u|script)>|\son\w+=|\sstyle=|javascript:", answer.text)


@pytest.mark.parametrize("page", EVERY)
async def test_an_empty_page_says_so_in_words(page: str) -> None:
    async with signed_in() as (room, tab):
        room.gate.rows.clear()
        answer = await tab.get(f"/data/{page}")
        assert answer.status_code == 200
        assert answer.text.strip()


async def test_a_policy_that_is_held_stands_there_with_its_difference_and_what_accepts_it() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/policy")).text
        assert "&lt;b&gt;new&lt;/b&gt; rule" in text
        assert "<code>wardgate accept policy@abcd</code>" in text


async def test_what_waits_stands_under_its_session_oldest_first() -> None:
    async with signed_in() as (room, tab):
        room.gate.rows[SECOND] = replace(room.gate.rows[SECOND], session="other")
        text = (await tab.get("/data/")).text
        assert text.count("<section") == 2
        assert text.index(FIRST) < text.index(DANGER) < text.index(SECOND)
        assert "&lt;b&gt;bold&lt;/b&gt;" in text


async def test_a_card_has_everything_that_a_person_needs() -> None:
    async with signed_in() as (room, tab):
        row = room.gate.rows[FIRST]
        last = replace(row, arguments={"path": "a.txt", "text": "plain", "mode": "w"}, definition="0" * 64)
        room.gate.history = History(3, 1, ("os:bob",), last)
        carried = ({"argument": "path", "source": "d_0000000007", "length": 5},)
        preview = {"tool": "read", "text": "-old\n+new", "digest": "1"}
        shown = replace(row.shown, carried=carried, preview=preview, acts_as="human ada", places=("files.toml:12",))
        room.gate.rows[FIRST] = replace(row, shown=shown)
        text = (await tab.get(f"/data/approvals/{FIRST}")).text
        for words in (
            *("Allow files__write_file? It changes data.", "os:alice", "claude-code 2.1", "human ada", "files.toml:12"),
            *("&lt;b&gt;bold&lt;/b&gt;", '<a href="/decisions/d_0000000007">', "+new", "approved 3×, denied 1×"),
            *("by os:bob", "changed since the last approval", "<ins>", "<del>", ">gone<"),
            *(f"Wardgate, approval {FIRST}", "the agent is told that nobody answered"),
        ):
            assert words in text, words
        assert "autofocus" not in text
        assert text.rindex("Nothing has been executed yet") > text.rindex("os:bob"), "the gateway's own line comes last"


async def test_what_a_grant_would_have_covered_is_told_when_it_is_asked_for() -> None:
    async with signed_in() as (_, tab):
        told = await tab.get(f"/data/approvals/{FIRST}/covers?choice=pattern")
        assert "<strong>2 of 7</strong>" in told.text
        assert "From now on it lets pass unasked:" in told.text
        assert "as on the card, with any value of" in told.text
        for wrong in ("once", "vouch", "", "<b>"):
            assert (await tab.get(f"/data/approvals/{FIRST}/covers?choice={wrong}")).status_code == 400


@pytest.mark.parametrize(
    ("state", "words"),
    [("denied", "Denied"), ("expired", "Expired"), ("used", "Used"), ("withdrawn", "Withdrawn")],
)
async def test_a_settled_card_offers_nothing(state: str, words: str) -> None:
    async with signed_in() as (room, tab):
        row = replace(room.gate.rows[FIRST], state=ApprovalState(state), decided_by="os:bob", note="<b>no</b>")
        room.gate.rows[FIRST] = row
        text = (await tab.get(f"/data/approvals/{FIRST}")).text
        assert words in text
        assert "data-do=" not in text
        assert "<form" not in text


async def test_a_card_whose_place_another_took_leads_there() -> None:
    async with signed_in() as (room, tab):
        row = replace(room.gate.rows[FIRST], state=ApprovalState.WITHDRAWN, followed_by=SECOND)
        room.gate.rows[FIRST] = row
        assert f'<a href="/approvals/{SECOND}">the new card</a>' in (await tab.get(f"/data/approvals/{FIRST}")).text
        room.gate.rows[FIRST] = replace(row, followed_by=AGAIN)
        assert "decided anew" in (await tab.get(f"/data/approvals/{FIRST}")).text


async def test_only_what_stands_whole_in_the_plan_can_be_approved_from_it() -> None:
    async with signed_in() as (room, tab):
        gate = room.gate
        tick = f'value="{SECOND}"'
        assert tick in (await tab.get(f"/data/approvals/{FIRST}")).text
        assert f'value="{DANGER}"' not in (await tab.get(f"/data/approvals/{FIRST}")).text
        row = gate.rows[SECOND]
        signed = replace(row.requirement, proof=Proof.SIGNED)
        for other in (
            replace(row, arguments={"path": "x" * 400}),
            replace(row, shown=replace(row.shown, redacted=True)),
            replace(row, shown=replace(row.shown, labelled=False)),
            replace(row, requirement=signed),
        ):
            gate.rows[SECOND] = other
            assert tick not in (await tab.get(f"/data/approvals/{FIRST}")).text


async def test_who_is_not_asked_is_told_so() -> None:
    async with signed_in() as (room, tab):
        row = room.gate.rows[FIRST]
        asked = Requirement(Proof.LOCAL, frozenset({"role:treasurer"}), 2)
        room.gate.rows[FIRST] = replace(row, requirement=asked)
        text = (await tab.get(f"/data/approvals/{FIRST}")).text
        assert "You are not among those who may approve this: role:treasurer" in text
        assert "of 2 people" in text


async def test_the_record_is_asked_as_the_filters_say_and_page_by_page() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_call_on_record()
        room.gate.recorded = [row._replace(seq=89 - place) for place, row in enumerate(room.gate.recorded * 30)]
        text = (await tab.get("/data/decisions?tool=note&verdict=ask&since=2026-11-22T10:00&text=a+b&before=90")).text
        name, query = room.gate.queries[-1]
        assert name == "os:ada"
        assert query.filters == {"kind": "outcome", "tool": "note", "verdict": "ask"}
        assert (query.since, query.text, query.before) == (datetime(2026, 11, 22, 10, tzinfo=UTC), "a b", 90)
        older = re.search(r'href="/decisions\?([^"]+)">Older', text)
        assert older is not None
        assert "tool=note" in older[1]
        assert "before=40" in older[1]


@pytest.mark.parametrize("params", [{"before": "x"}, {"before": "-1"}, {"before": "9" * 20}, {"since": "yesterday"}])
def test_filters_that_can_not_be_read_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(DeniedError):
        query_of(params)


def test_any_kind_can_be_asked_for() -> None:
    assert query_of({"kind": "any", "reason": " busy "}).filters == {"reason": "busy"}


async def test_too_many_or_too_long_filters_are_refused() -> None:
    async with signed_in() as (_, tab):
        assert (await tab.get("/data/decisions?" + "&".join(f"p{i}=1" for i in range(30)))).status_code == 400
        assert (await tab.get(f"/data/decisions?text={'x' * 500}")).status_code == 400


async def test_a_rule_that_is_waved_through_is_named_with_what_would_spare_people() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/figures")).text
        for words in ("files.writes is waved through", "A narrower rule", "<strong>19 of 21</strong>", "&lt;b&gt;"):
            assert words in text


async def test_one_decision_is_told_whole() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_call_on_record()
        text = (await tab.get("/data/decisions/d_0000000001")).text
        for words in ("files/write_file", "github", "&lt;i&gt;a&lt;/i&gt;", "redacted", "Leaf 1 of 9", "ab" * 32):
            assert words in text
        assert (await tab.get("/data/decisions/d_ZZZZ")).status_code == 404


async def test_a_card_counts_as_shown_together_with_what_stands_whole_beside_it() -> None:
    clock = FakeClock()
    gate = FakeGate(clock)
    async with signed_in() as (room, _):
        pages = Pages(gate, LOOKS, room.signins, passkeys=False)
        tab = room.signins.find(*room.signins.open("os:ada"))
        assert tab is not None
        await pages.card(tab, FIRST, {})
        assert set(tab.seen) == {FIRST, SECOND}, "what has to be decided on its own card was not shown"


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "plain", "n": 12345678901234567890, "f": 1.5, "deep": {"a": [True, None]}},
        {"hidden": "a\u202eb\u200b\u00a0\U000e0041", "lines": 'a\nb\t"c"\\d', "é": "ß"},
    ],
    ids=["plain", "hidden"],
)
def test_arguments_to_edit_are_exact_and_hide_nothing(arguments: dict[str, Any]) -> None:
    text = editable(arguments)
    assert json.loads(text) == arguments
    assert all(char == "\n" or char.isprintable() for char in text)
    assert not set(text) & set("\u202e\u200b\u00a0\U000e0041")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.24, "0.2 s"), (11, "11 s"), (130, "2 min"), (7200, "2.0 h")],
)
def test_a_length_of_time_reads_well(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_shares_times_and_hidden_characters_read_well() -> None:
    assert (share(None), share(0.955)) == ("–", "96 %")
    assert when(None) == ""
    assert 'datetime="2026-11-22T12:00:00.000000Z">2026-11-22 12:00:00 UTC<' in when(NOON)
    marked = hidden("<a>\\u{202e}<b>")
    assert marked.startswith("&lt;a&gt;<mark")
    assert marked.endswith("</mark>&lt;b&gt;")
    assert hidden("\\u{202e}", False) == "\\u{202e}"


def test_what_stands_between_backticks_is_code_and_nothing_is_markup() -> None:
    assert coded("run `a <b>` & see") == "run <code>a &lt;b&gt;</code> &amp; see"


def test_the_hours_of_some_days_end_with_this_one() -> None:
    hours = hours_back(NOON + timedelta(minutes=30), 1)
    assert (len(hours), hours[0], hours[-1]) == (24, "2026-11-21T13", "2026-11-22T12")


async def test_a_session_shows_why_it_stands_out_and_that_it_is_raised() -> None:
    async with signed_in() as (_, tab):
        text = (await tab.get("/data/sessions")).text
    assert "raised by new-sink" in text
    assert '<a href="/decisions/d_1">new-sink</a> (raise): first egress to email' in text
    assert "&lt;b&gt;eve@evil.example&lt;/b&gt;" in text
    assert text.count("first egress") == 2
