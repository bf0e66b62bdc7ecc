"""What keys do on the screen of `approvals watch`, without a terminal; and the answers that it makes."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.cli.answers import KEYS, arguments_of, duration, minutes, picked
from gateway.cli.screen import (
    ARMED,
    CHOICE_KEYS,
    DOWN,
    ENTER,
    ERASE,
    ESCAPE,
    NOTHING,
    QUIT,
    UP,
    Deed,
    Mode,
    Screen,
    prompt,
)

ALL = ("once", "arguments", "pattern", "session", "vouch", "edit", "deny", "bar")
LATER = 100 + ARMED


def a_view(**more: Any) -> dict[str, Any]:
    """As much of a card as keys look at."""
    return {
        "id": "a_1",
        "state": "waiting",
        "labelled": True,
        "proposed": "",
        "effects": ("read", "write", "egress"),
        "choices": ALL,
        "confirm": "",
        "proof_required": "local",
        "vouchable": ("bob@x.example",),
        "also": ({"id": "a_2"},),
        **more,
    }


def opened(**more: Any) -> Screen:
    """A screen on which a card was opened at second 100."""
    screen = Screen()
    screen.list([{"id": "a_1"}, {"id": "a_2"}])
    screen.show(a_view(**more), 100.0)
    return screen


def press(screen: Screen, keys: Sequence[str], now: float = LATER) -> Deed:
    """Press keys, and return what the last one led to."""
    deed = NOTHING
    for key in keys:
        deed = screen.press(key, now)
    return deed


def typed(screen: Screen, text: str) -> Deed:
    """Type a line."""
    return press(screen, [*text, ENTER])


# --- the list -------------------------------------------------------------------------------------------------------


def test_the_cursor_stays_at_its_row_whatever_comes_and_goes() -> None:
    screen = Screen()
    screen.list([{"id": name} for name in "abc"])
    assert screen.at == "a"
    press(screen, ["j", DOWN, "j"])
    assert screen.at == "c"
    screen.list([{"id": name} for name in "xabc"])
    assert screen.at == "c"
    screen.list([{"id": name} for name in "xab"])
    assert screen.at == "b"
    press(screen, ["k", UP, UP, UP])
    assert screen.at == "x"
    screen.list([])
    assert screen.at == ""
    assert press(screen, ["j", ENTER, "a"]) == NOTHING


@pytest.mark.parametrize("key", [ENTER, *CHOICE_KEYS])
def test_every_key_that_decides_only_opens_the_card_from_the_list(key: str) -> None:
    screen = Screen()
    screen.list([{"id": "a_1"}])
    assert press(screen, [key]) == Deed("open", {"id": "a_1"})


def test_q_and_escape_go_back_and_end() -> None:
    screen = opened()
    assert press(screen, ["q"]) == NOTHING
    assert (screen.mode, screen.view) == (Mode.LIST, None)
    assert press(screen, ["q"]) == QUIT
    assert press(Screen(), [ESCAPE]) == QUIT


def test_help_goes_back_to_where_it_came_from() -> None:
    screen = Screen()
    press(screen, ["?"])
    assert screen.mode is Mode.HELP
    press(screen, ["?"])
    assert screen.mode is Mode.LIST
    screen = opened()
    press(screen, ["?", "a"])
    assert screen.mode is Mode.CARD


# --- the card -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "x", "p", "s", "v", "e"])
def test_no_yes_counts_before_the_card_could_be_read(key: str) -> None:
    screen = opened()
    assert press(screen, [key], LATER - 0.01) == NOTHING
    assert (screen.mode, screen.asking) == (Mode.CARD, None)
    assert "read" in screen.message


def test_a_no_counts_at_once() -> None:
    screen = opened()
    press(screen, ["d"], 100.0)
    assert typed(screen, "") == Deed("deny", {"id": "a_1", "choice": "deny", "reason": ""})


def test_one_key_approves_once() -> None:
    assert press(opened(), ["a"]) == Deed("approve", {"id": "a_1", "choice": "once"})


def test_what_a_card_does_not_offer_can_not_be_chosen() -> None:
    screen = opened(choices=("once", "deny"))
    for key in "xpsveb":
        assert press(screen, [key]) == NOTHING
        assert "can't be chosen" in screen.message
    assert press(opened(state="approved", choices=()), ["a"]) == NOTHING


def test_the_tools_name_is_typed_where_the_card_wants_it() -> None:
    screen = opened(confirm="mail__wipe")
    assert press(screen, ["a"]) == NOTHING
    assert "mail__wipe" in prompt(screen)
    assert typed(screen, "yes") == NOTHING
    assert screen.mode is Mode.TYPE
    press(screen, [*"mail__wipX", ERASE])
    assert typed(screen, "e") == Deed("approve", {"id": "a_1", "choice": "once"})


def test_a_grant_asks_for_how_long_and_settles_what_was_listed() -> None:
    for choice in ("arguments", "pattern", "session"):
        screen = opened()
        assert press(screen, [KEYS[choice]]) == Deed("covers", {"id": "a_1"})
        screen.covers, screen.of = {choice: 7}, 9
        assert "7 of 9" in prompt(screen)
        assert typed(screen, "soon") == NOTHING
        assert typed(screen, "2h") == Deed("approve", {"id": "a_1", "choice": choice, "minutes": 120, "also": ["a_2"]})


def test_a_grant_of_money_asks_for_the_name_too() -> None:
    screen = opened(confirm="pay")
    press(screen, ["x"])
    assert typed(screen, "") == NOTHING
    assert typed(screen, "pay").fields["minutes"] == 60


def test_values_are_picked_by_number() -> None:
    screen = opened(vouchable=("a@x", "b@x", "c@x"))
    assert press(screen, ["v"]) == NOTHING
    assert "2: b@x" in prompt(screen)
    for wrong in ("", "4", "x"):
        assert typed(screen, wrong) == NOTHING
    assert typed(screen, "1 3") == NOTHING
    assert typed(screen, "15m").fields == {
        "id": "a_1",
        "choice": "vouch",
        "values": ["a@x", "c@x"],
        "minutes": 15,
        "also": ["a_2"],
    }


def test_a_denial_takes_a_reason_and_may_bar_the_tool() -> None:
    screen = opened()
    press(screen, ["b"])
    assert typed(screen, "not that") == Deed("deny", {"id": "a_1", "choice": "bar", "reason": "not that"})


def test_escape_leaves_it_undecided() -> None:
    screen = opened()
    assert press(screen, ["d", "x", ESCAPE]) == NOTHING
    assert (screen.mode, screen.asking, screen.typed) == (Mode.CARD, None, "")


def test_an_edit_is_a_deed_of_its_own() -> None:
    assert press(opened(confirm="pay", proof_required="signed"), ["e"]) == Deed("edit", {"id": "a_1"})


def test_what_needs_a_signature_names_the_command_that_gives_it() -> None:
    screen = opened(proof_required="signed")
    assert press(screen, ["a"]) == NOTHING
    assert "wardgate approve a_1 --sign" in screen.message
    press(screen, ["d"])
    assert typed(screen, "no").op == "deny"


def test_a_card_scrolls_and_unfolds() -> None:
    screen = opened()
    press(screen, ["j", DOWN, "k"])
    assert screen.scroll == 1
    press(screen, [UP, UP])
    assert screen.scroll == 0
    press(screen, [ENTER])
    assert screen.unfolded


def test_a_card_that_was_settled_elsewhere_takes_no_answer_any_more() -> None:
    screen = opened()
    press(screen, ["d", "n"])
    screen.renew(a_view(state="approved", choices=()))
    assert (screen.mode, screen.asking) == (Mode.CARD, None)
    assert press(screen, ["d"]) == NOTHING
    assert "settled already" in screen.message


# --- a tool that nobody labelled ------------------------------------------------------------------------------------


def test_a_tool_that_nobody_labelled_is_asked_about_first_with_the_proposal_under_the_cursor() -> None:
    screen = opened(labelled=False, proposed="write")
    assert screen.mode is Mode.LABEL
    assert press(screen, [ENTER], 100.0) == NOTHING
    assert press(screen, [ENTER]) == Deed("label", {"id": "a_1", "effect": "write"})
    press(screen, ["j", "j"])
    assert press(screen, [ENTER]).fields["effect"] == "egress"
    press(screen, ["k", "k", "k"])
    assert press(screen, [ENTER]).fields["effect"] == "read"


def test_the_strictest_effect_is_under_the_cursor_where_none_is_proposed() -> None:
    assert press(opened(labelled=False), [ENTER]).fields["effect"] == "egress"


def test_it_can_be_left_unlabelled() -> None:
    screen = opened(labelled=False, proposed="write")
    press(screen, [ESCAPE])
    assert screen.mode is Mode.CARD
    screen = opened(labelled=False)
    press(screen, ["q"])
    assert screen.mode is Mode.LIST


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [("15m", 15), ("2h", 120), ("1d", 1440), ("30", 30), (" 5 min ", 5), ("0m", None), ("h", None), ("1w", None)],
)
def test_a_time_is_minutes_hours_or_days(text: str, count: int | None) -> None:
    assert minutes(text) == count


def test_a_time_is_written_as_it_is_read() -> None:
    assert [minutes(duration(count)) for count in (45, 60, 120)] == [45, 60, 120]


def test_nothing_picks_only_the_only_one() -> None:
    assert picked("", ["a"]) == ["a"]
    assert picked("", ["a", "b"]) is None
    assert picked("2,1 2", ["a", "b"]) == ["b", "a"]
    assert picked("0", ["a"]) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1, "a": 2}', "[" * 100_000], ids=range(5))
def test_what_is_no_object_of_arguments_is_said_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"arguments|key"):
        arguments_of(text)


def test_edited_arguments_are_read() -> None:
    assert arguments_of('{"a": [1]}') == {"a": [1]}
