"""The card as data: exact values with everything hidden made visible, what differs, and what can be chosen."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.model import Approval, ApprovalState, Choice, Effect, Reason, Requirement, Shown, Tier
from gateway.core.view import FOLD, Card, History, Value, before, view, visible_lines
from tests.core.test_card import AT, approval

LATER = AT + timedelta(minutes=4)


def card_of(row: Approval | None = None, history: History | None = None, *waiting: Approval) -> Card:
    return view(row or approval(), history or History(), waiting, LATER)


def value_of(value: Any, **more: Any) -> Value:
    (found,) = card_of(approval(arguments={"x": value}, **more)).arguments
    return found


def test_the_headline_is_the_gateways_and_the_last_line_too() -> None:
    card = card_of()
    assert card.headline == "Allow files__write_file? It changes data."
    assert card.last_line.startswith("Wardgate, approval a_0000000001.")
    assert (card.who, card.client, card.session, card.tier) == ("os:ada", "claude-code", "s_1", "write")


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("state", ApprovalState)
def test_there_are_words_for_every_effect_and_every_state(effect: Effect, state: ApprovalState) -> None:
    card = card_of(approval(effect=effect, state=state))
    assert card.headline.endswith(".")
    assert card.last_line.endswith(".")
    assert bool(card.choices) is (state is ApprovalState.WAITING)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (History(), ""),
        (History(0, 2), "approved 0 times, denied 2 times"),
        (History(1, 0, ("os:bob",), approval()), "approved once, denied 0 times (by os:bob); the arguments are those"),
        (History(1, 0, (), approval(arguments={"path": "x", "count": 3})), "not as at the last approval: path"),
        (
            History(1, 0, (), approval(asked_digest="2" * 64)),
            "not as at the last approval: something that is not shown",
        ),
        (History(1, 0, (), approval(arguments={f"a{n}": 1 for n in range(9)})), "not as at the last approval: 11 argu"),
        (History(1, 0, (), approval(definition="1" * 64)), "its definition changed since then"),
        (History(1, 0, ("os:\u202e",)), "(by os:\\u{202e})"),
    ],
    ids=["nothing", "denied", "the same", "another value", "a secret", "many", "another definition", "hidden"],
)
def test_what_was_decided_before_is_told_in_one_line(history: History, expected: str) -> None:
    told = before(approval(), history)
    assert expected in told
    assert "\n" not in told
    assert bool(told) is bool(expected)


def test_a_value_is_shown_exactly_with_its_length_and_digest() -> None:
    found = value_of("plain text")
    assert (found.name, found.text, found.length, found.folded, found.hidden) == ("x", "plain text", 10, False, False)
    assert found.digest != value_of("plain texT").digest
    assert len(found.digest) == 12


def test_a_value_that_is_no_text_is_shown_as_json() -> None:
    found = value_of({"a": [1, "b\u202e"]})
    assert '"a"' in found.text
    assert "\\u{202e}" in found.text
    assert found.length == len('{"a":[1,"b\u202e"]}'.encode())


def test_hidden_and_direction_changing_characters_are_visible_and_said() -> None:
    found = value_of("a\u202eb\u200b\nsecond line")
    assert found.text == "a\\u{202e}b\\u{200b}\nsecond line"
    assert found.hidden
    assert not value_of("two\nlines").hidden
    assert visible_lines("a\x1b\nb") == "a\\u{1b}\nb"


def test_long_values_fold_and_keep_all_of_their_text() -> None:
    text = "x" * 100_000
    found = value_of(text)
    assert (found.folded, found.length, found.text) == (True, 100_000, text)
    assert not value_of("x" * FOLD).folded


def test_names_of_arguments_are_made_visible_too() -> None:
    (found,) = card_of(approval(arguments={"to\u202e": 1})).arguments
    assert found.name == "to\\u{202e}"


def test_the_arguments_are_compared_with_those_of_the_last_approved_call() -> None:
    last = approval(id="a_0", arguments={"path": "notes.txt", "count": 2, "old": "x"}, definition="1" * 64)
    card = card_of(approval(arguments={"path": "notes.txt", "count": 3, "new": "y"}), History(3, 1, ("os:bob",), last))
    told = {value.name: (value.change, value.before) for value in card.arguments}
    assert told == {"count": ("changed", "2"), "new": ("new", ""), "path": ("same", ""), "old": ("gone", "x")}
    assert card.arguments[-1].name == "old"
    assert card.definition_changed
    assert (card.approved_before, card.denied_before, card.decided_by_before) == (3, 1, ("os:bob",))
    assert card.last_approved_at


def test_without_a_call_before_nothing_is_compared() -> None:
    card = card_of()
    assert {value.change for value in card.arguments} == {""}
    assert (card.definition_changed, card.last_approved_at) == (False, "")


def test_values_name_the_calls_in_whose_output_they_stood() -> None:
    carried = (
        {"argument": "path", "source": "d_1"},
        {"argument": "path", "source": "d_1"},
        {"argument": "path.sub[0]", "source": "d_2"},
        {"argument": "gone", "source": "d_3"},
    )
    card = card_of(approval(shown=Shown(carried=carried)))
    assert {value.name: value.sources for value in card.arguments} == {"path": ("d_1", "d_2"), "count": ()}


def test_the_preview_keeps_its_lines_and_hides_nothing() -> None:
    card = card_of(approval(shown=Shown(preview={"tool": "get", "text": "a\u200b\nb"})))
    assert card.preview == {"tool": "get", "text": "a\\u{200b}\nb"}


def test_what_a_client_says_of_itself_is_made_visible() -> None:
    card = card_of(approval(shown=Shown(claimed="Wardgate\u202e", acts_as="human ada", known_by="os-user")))
    assert (card.claimed, card.acts_as, card.known_by) == ("Wardgate\\u{202e}", "human ada", "os-user")


def test_the_time_that_is_left_is_that_of_a_row_that_waits() -> None:
    assert card_of().seconds_left == 360
    assert card_of(approval(state=ApprovalState.DENIED)).seconds_left == 0
    assert view(approval(), History(), (), AT + timedelta(hours=1)).seconds_left == 0


@pytest.mark.parametrize(
    ("effect", "confirm"),
    [
        (Effect.DESTRUCTIVE, True),
        (Effect.MONEY, True),
        (Effect.PRIVILEGE, True),
        (Effect.CREDENTIAL, True),
        (Effect.EGRESS, False),
        (Effect.WRITE, False),
    ],
)
def test_the_name_is_typed_where_an_effect_can_not_be_taken_back(effect: Effect, confirm: bool) -> None:
    assert card_of(approval(effect=effect)).confirm == ("files__write_file" if confirm else "")


def test_the_choices_are_those_that_are_offered() -> None:
    card = card_of(approval(free=("text",), requirement=Requirement(by=frozenset({"role:b", "a"}))))
    assert Choice.PATTERN.value in card.choices
    assert card.approve_by == ("a", "role:b")
    assert Choice.SESSION.value not in card_of(approval(tier=Tier.HIGH)).choices


def test_what_else_waits_in_the_session_stands_on_the_card_and_the_row_itself_does_not() -> None:
    row, same = approval(), approval(id="a_0000000002")
    other = approval(id="a_0000000003", arguments_digest="2" * 64)
    card = card_of(row, None, row, same, other)
    assert [(one["id"], one["same"]) for one in card.also] == [("a_0000000002", "yes"), ("a_0000000003", "")]


def test_a_row_that_was_edited_says_so_and_a_decided_one_by_whom() -> None:
    decided = replace(approval(), decided_by="os:bob", note="fine\u202e", follows="a_0", reason=Reason.UNPROVEN)
    card = card_of(decided)
    assert (card.edited, card.decided_by, card.note, card.proof) == (True, "os:bob", "fine\\u{202e}", "")
