"""What is new in a call, for identities with a past; how much is remembered; and what a record costs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from gateway.core import pasts as rules
from gateway.core.landing import MOST, MOST_LEAVES
from gateway.core.model import Effect, Kind, Labels, Record, SinkKind
from gateway.core.overrides import Overrides
from gateway.core.past import MOST_SEEN, WARM_CALLS
from gateway.core.pasts import Pasts
from gateway.core.remembered import Remembered, raised_text, read_raised
from gateway.core.signals import Signal
from tests.fakes import KEY, a_record

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
LABELS = Labels(Effect.EGRESS, sinks={"to": SinkKind.EMAIL, "path": SinkKind.PATH}, payload=("body",))


def call(tool: str = "write_file", day: int = 7, tier: str = "write", **more: Any) -> Record:
    """An intent on some day."""
    given = {"tool": tool, "tier": tier, "effect": tier, "arguments": {}, **more}
    return structs.replace(a_record(1, **given), at=MONDAY + timedelta(days=day))


def read(tool: str = "read_file", **more: Any) -> Record:
    return call(tool, tier="read", **more)


def send(to: str, **more: Any) -> Record:
    return call("send", effect="egress", arguments={"to": to}, **more)


def fresh() -> Pasts:
    return Pasts(Remembered(KEY).fingerprint)


@pytest.fixture
def usual() -> Pasts:
    """An identity that read and wrote in one folder, and sent to bob, on six days."""
    pasts = fresh()
    for day in range(6):
        for _ in range(10):
            pasts.observe(read(day=day, arguments={"path": "/srv/a/b.txt"}), LABELS)
            pasts.observe(call(day=day, arguments={"path": "/srv/a/b.txt"}), LABELS)
        pasts.observe(read(day=day, arguments={"path": "/srv/a/b.txt"}), LABELS)
        pasts.observe(send("bob@x.example", day=day), LABELS)
    return pasts


def told(pasts: Pasts, record: Record, inventory: tuple[str, ...] = ()) -> dict[Signal, str]:
    return {one.signal: one.explanation for one in pasts.observe(record, LABELS, inventory)}


def test_the_usual_is_no_signal(usual: Pasts) -> None:
    usual_day = [read(arguments={"path": "/srv/a/c.txt"}), call(arguments={"path": "/srv/a/d.txt"})] * 3
    assert [told(usual, each) for each in usual_day] == [{}] * 6


def test_a_new_identity_is_left_alone_until_it_has_a_past() -> None:
    pasts = fresh()
    for number in range(3 * WARM_CALLS):
        assert told(pasts, call(f"tool{number}", day=number % 3, arguments={"to": f"a{number}@x.example"})) == {}


def test_a_recipient_that_was_never_sent_to_is_told_once(usual: Pasts) -> None:
    told(usual, read())
    assert told(usual, send("eve@evil.example")) == {
        Signal.NEW_SINK: "first egress to email `eve@evil.example` by os:alice with claude-code in 133 calls on 7 days"
    }
    assert told(usual, read()) == told(usual, send("EVE@evil.example")) == {}


def test_a_sink_is_new_for_each_effect(usual: Pasts) -> None:
    told(usual, read())
    assert Signal.NEW_SINK in told(usual, call("send", effect="money", arguments={"to": "bob@x.example"}))


def test_a_step_into_a_write_that_was_never_made_is_told(usual: Pasts) -> None:
    told(usual, call())
    found = told(usual, send("bob@x.example"))
    assert list(found) == [Signal.NEW_STEP]
    assert "first step from `files/write_file` to `files/send` by" in found[Signal.NEW_STEP]
    told(usual, call())
    assert told(usual, send("bob@x.example")) == {}


def test_steps_are_of_one_session_and_into_writes_only(usual: Pasts) -> None:
    told(usual, call())
    assert told(usual, read()) == {}
    found = told(usual, send("bob@x.example", session="s2"))
    assert "from the start of a session to `files/send`" in found[Signal.NEW_STEP]


def test_the_first_use_of_a_tool_is_told(usual: Pasts) -> None:
    found = told(usual, read("list_files"))
    assert found == {
        Signal.NEW_TOOL: "first use of `files/list_files` by os:alice with claude-code in 132 calls on 7 days"
    }


def test_the_first_read_of_a_folder_is_told(usual: Pasts) -> None:
    found = told(usual, read(arguments={"paths": [f"/srv/{name}/x.csv" for name in "abcdef"]}))
    assert list(found) == [Signal.NEW_SCOPE]
    assert "first read of folder `/srv/b`, folder `/srv/c`, folder `/srv/d` and 2 more by" in found[Signal.NEW_SCOPE]


def test_an_upstream_that_was_never_used_is_told_with_its_tool(usual: Pasts) -> None:
    found = told(usual, read("q", upstream="db"))
    assert list(found) == [Signal.NEW_UPSTREAM, Signal.NEW_TOOL]
    assert "`db` of os:alice with claude-code is not among the 1 that it used before" in found[Signal.NEW_UPSTREAM]


def test_an_upstream_outside_a_written_inventory_is_told_whatever_the_past(usual: Pasts) -> None:
    assert "inventory of its client" in told(fresh(), read(), ("db",))[Signal.NEW_UPSTREAM]
    assert told(fresh(), read(), ("files",)) == {}
    assert list(told(usual, read("q", upstream="db"), ("files", "db"))) == [Signal.NEW_UPSTREAM, Signal.NEW_TOOL]


def test_a_day_of_many_writes_is_told_with_its_numbers(usual: Pasts) -> None:
    found = [told(usual, call()) for _ in range(60)]
    (sentence,) = [each[Signal.UNUSUAL_COUNT] for each in found if Signal.UNUSUAL_COUNT in each]
    assert sentence == (
        "25 consequential calls of os:alice with claude-code today; 11.0 a day, deviation 0.0, on 6 days before: "
        "over 24 stand out"
    )


def test_another_mix_of_tools_than_a_week_ago_is_told_with_what_moved(usual: Pasts) -> None:
    for _ in range(40):
        told(usual, read("query", day=8))
    found = told(usual, read("query", day=14))
    assert found == {
        Signal.TOOL_DRIFT: "the tools of os:alice with claude-code changed from week 45 to week 46 by 1.00 of 1 "
        "(over 0.3 stands out); moved most: files/query 0% -> 100%, files/read_file 50% -> 0%, "
        "files/write_file 45% -> 0%"
    }


def test_a_mix_that_stays_as_it_was_is_no_drift(usual: Pasts) -> None:
    for _ in range(20):
        told(usual, read(day=8))
        told(usual, call(day=8))
    assert told(usual, read(day=14)) == {}


def test_resources_count_as_their_method_since_names_are_arguments(usual: Pasts) -> None:
    found = told(usual, read("mail://inbox/1", method="resources/read"))
    assert "`files/resources/read`" in found[Signal.NEW_TOOL]
    assert list(told(usual, read("mail://other/1", method="resources/read"))) == [Signal.NEW_SCOPE]


@pytest.mark.parametrize(
    "record",
    [
        a_record(kind=Kind.OUTCOME),
        a_record(extra={"round": 2}),
        a_record(upstream=""),
    ],
    ids=["an outcome", "a later round", "no upstream"],
)
def test_only_the_first_intent_of_a_call_counts(record: Record) -> None:
    pasts = fresh()
    assert pasts.observe(record, LABELS) == ()
    assert len(pasts.identities) == 0


def test_identities_have_pasts_of_their_own(usual: Pasts) -> None:
    told(usual, read())
    assert told(usual, send("eve@evil.example", client="cursor")) == {}
    assert Signal.NEW_SINK in told(usual, send("eve@evil.example"))


def test_names_in_sentences_are_bounded_and_show_what_is_hidden(usual: Pasts) -> None:
    found = told(usual, read("x\u202e" + "y" * 500))
    assert "\u202e" not in found[Signal.NEW_TOOL]
    assert "\\u{202e}yyy" in found[Signal.NEW_TOOL]
    assert len(found[Signal.NEW_TOOL]) < 250


def test_what_is_recorded_as_a_digest_is_told_as_one(usual: Pasts) -> None:
    told(usual, read())
    found = told(usual, call("send", effect="egress", arguments=None, leaves={"to": "ab" * 16}))
    assert "first egress to email (recorded as a digest) by" in found[Signal.NEW_SINK]


def test_no_value_is_in_what_is_remembered(usual: Pasts) -> None:
    text = Remembered(KEY).text(usual, Overrides(), 5)
    assert "bob" not in text
    assert "/srv" not in text
    assert KEY.decode() not in text


def test_what_is_remembered_is_read_again_as_it_was(usual: Pasts) -> None:
    again = fresh()
    assert Remembered(KEY).read(Remembered(KEY).text(usual, Overrides(), 5), again, Overrides(), 5) == 5
    assert again.things == usual.things
    last = read(arguments={"path": "/srv/a/b.txt"})
    assert told(again, last) == told(usual, last) == {}
    assert told(again, send("eve@evil.example")) == told(usual, send("eve@evil.example")) != {}
    assert Remembered(KEY).text(again, Overrides(), 9) == Remembered(KEY).text(usual, Overrides(), 9)


@pytest.mark.parametrize(
    ("key", "size", "change"),
    [
        (b"other" * 8, 5, str),
        (KEY, 4, str),
        (KEY, 5, lambda text: text[:-1]),
        (KEY, 5, lambda text: "[]"),
        (KEY, 5, lambda text: ""),
    ],
    ids=["another key", "a shorter record", "cut off", "another shape", "nothing"],
)
def test_what_can_not_be_trusted_is_not_taken_over(
    usual: Pasts, key: bytes, size: int, change: Callable[[str], str]
) -> None:
    again = fresh()
    assert Remembered(key).read(change(Remembered(KEY).text(usual, Overrides(), 5)), again, Overrides(), size) == 0
    assert (len(again.identities), again.things) == (0, 0)


def test_raised_sessions_are_read_again_in_order() -> None:
    raised = [(("os:ada", "desk", "os:ada/desk/a"), "new-sink"), (("os:ada", "desk", ""), "new-tool")]
    assert read_raised(raised_text(raised)) == raised
    assert read_raised("") == read_raised("[") == read_raised('{"a":1}') == []


def test_identities_things_and_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "IDENTITIES", 3)
    monkeypatch.setattr(rules, "SESSIONS", 2)
    pasts = fresh()
    for number in range(9):
        pasts.observe(read(principal=f"os:u{number}", session=f"s{number}"), LABELS)
    assert [name for name, _ in pasts.identities] == ["os:u6", "os:u7", "os:u8"]
    assert list(pasts.last) == ["s7", "s8"]
    monkeypatch.setattr(rules, "MOST_THINGS", 5)
    pasts.observe(read("other", principal="os:u8"), LABELS)
    assert [name for name, _ in pasts.identities] == ["os:u7", "os:u8"]
    assert pasts.things == sum(past.size for past in pasts.identities.values()) == 5
    for number in range(9):
        pasts.observe(read(f"t{number}", principal="os:u8"), LABELS)
    assert [name for name, _ in pasts.identities] == ["os:u8"]  # the last one is bounded by what it may hold itself


class Counting:
    """A fingerprint that counts how often it is made."""

    def __init__(self) -> None:
        self.made, self._inner = 0, Remembered(KEY).fingerprint

    def __call__(self, data: bytes) -> int:
        self.made += 1
        return self._inner(data)


def test_a_call_is_the_same_work_whatever_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST_SEEN, "sink", 300)
    counting = Counting()
    pasts, work, sizes = Pasts(counting), list[int](), list[int]()
    for number in range(1_000):
        before = counting.made
        pasts.observe(send(f"a{number}@x.example", session=f"s{number}"), LABELS)
        work.append(counting.made - before)
        sizes.append(pasts.things)
    assert set(work) == {4}  # upstream, tool, step, sink
    assert max(sizes) == 303


def test_a_huge_call_is_bounded_work() -> None:
    counting = Counting()
    pasts = Pasts(counting)
    pasts.observe(call(arguments={"to": [f"a{number}@x.example" for number in range(100 * MOST_LEAVES)]}), LABELS)
    assert counting.made == 3 + MOST
