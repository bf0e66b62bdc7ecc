"""The card as a terminal shows it: everything of it is text, and the gateway's own line comes last."""

import io
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from gateway.cli.card import draw
from gateway.core.approval import draft
from gateway.core.grants import bound
from gateway.core.model import ApprovalState, Effect, Labels, Proof, Shown, SinkKind, Tier
from gateway.core.view import History, view
from tests.fakes import KEY, NOON, a_call, a_tool, an_ask

TOOL = replace(a_tool(), labels=Labels(Effect.WRITE, {"path": SinkKind.PATH}, payload=("text",)))


def text_of(shown: Shown | None = None, unfolded: bool = False, history: History | None = None, **more: Any) -> str:
    """A card as text, drawn 100 columns wide."""
    arguments = more.pop("arguments", {"path": "a.txt"})
    tool, remarks = more.pop("tool", TOOL), more.pop("remarks", ())
    bind = bound(tool, arguments, KEY, tainted=True)
    row = draft(a_call(1, **arguments), tool, an_ask(Proof.LOCAL), arguments, NOON, shown or Shown(), bind)
    row = replace(row, id="a_0000000001", **more)
    waiting = [replace(row, id="a_0000000002"), row]
    made = replace(view(row, history or History(), waiting, NOON + timedelta(minutes=1)), remarks=remarks)
    card = msgspec.to_builtins(made)
    out = io.StringIO()
    console = Console(file=out, width=100, highlight=False, markup=False, emoji=False)
    console.print(draw(card, unfolded=unfolded, keys=True))
    return out.getvalue()


def test_a_card_says_who_what_why_and_until_when_and_its_last_line_is_the_gateways() -> None:
    shown = Shown(
        known_by="os-user", claimed="claude-code 2.1", owner="o@example.com", acts_as="human ada", places=("a.toml:3",)
    )
    said = text_of(shown)
    for words in (
        "Allow files__write_file? It changes data.",
        "os:alice (os-user) with claude-code, which calls itself claude-code 2.1",
        "owner    o@example.com",
        "acts as  human ada",
        "rule files.writes (rule), a.toml:3",
        "proof local, 1 approver",
        "never decided for this principal",
        "path  a.txt",
        "a  once, exactly this call",
        "b  deny, and block the tool for this session",
        "also waiting in this session: 1, 1 with the same arguments",
        "9:00 left.",
    ):
        assert words in said
    assert said.rstrip().splitlines()[-1] == "— Wardgate, approval a_0000000001. Nothing has been executed yet."


def test_what_the_definition_of_its_tool_says_is_told() -> None:
    assert "tool says  it orders the model about" in text_of(remarks=("it orders the model about",))


def test_markup_and_hidden_characters_are_text() -> None:
    said = text_of(arguments={"path": "[bold red]x[/] :smile: \u202egnp\x1b[31m"})
    assert "[bold red]x[/] :smile: \\u{202e}gnp\\u{1b}[31m" in said
    assert "has hidden characters" in said
    assert "\x1b" not in said


def test_a_long_value_folds_with_its_length_and_digest_and_unfolds() -> None:
    arguments = {"text": "x" * 100_000 + "END"}
    folded = text_of(arguments=arguments)
    assert "100003 characters in all, sha256 " in folded
    assert "END" not in folded
    assert "xEND" in "".join(text_of(arguments=arguments, unfolded=True).split())


def test_what_changed_since_the_last_approved_call_is_said_in_words() -> None:
    last = replace(
        draft(a_call(), TOOL, an_ask(), {"path": "b.txt", "mode": "w"}, NOON), id="a_9", definition="another"
    )
    history = History(approved=3, denied=1, by=("os:bob",), last=last)
    said = text_of(history=history, arguments={"path": "a.txt", "text": "new"})
    for words in (
        "approved 3, denied 1 by os:bob, last 2026-11-22T12:00Z",
        "a.txt  [changed]",
        "before: b.txt",
        "new  [new here]",
        "w  [left out]",
        "definition is not the one",
    ):
        assert words in said


def test_where_a_value_stood_before_is_told_beside_it() -> None:
    shown = Shown(carried=({"argument": "path", "source": "d_1", "length": 5},))
    assert "a.txt  [stood in the output of d_1]" in text_of(shown)


def test_a_preview_is_quoted_and_folds() -> None:
    lines = "\n".join(f"line {number}" for number in range(20))
    said = text_of(Shown(preview={"tool": "look", "text": lines}))
    assert "| line 11" in said
    assert "| … 8 more lines" in said
    assert "| line 19" in text_of(Shown(preview={"tool": "look", "text": lines}), unfolded=True)
    assert "no preview by look: it gave no answer" in text_of(
        Shown(preview={"tool": "look", "why": "it gave no answer"})
    )


def test_what_needs_the_tools_name_says_so() -> None:
    high = replace(TOOL, tier=Tier.HIGH, effect=Effect.MONEY)
    assert "once, exactly this call (the tool's name is typed)" in text_of(tool=high)


def test_an_unlabelled_tool_and_redacted_arguments_are_told() -> None:
    said = text_of(Shown(labelled=False, proposed="write", redacted=True))
    assert "nobody said what this tool does; proposed: write" in said
    assert "A secret was taken out" in said


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ApprovalState.APPROVED, "approved by os:bob"),
        (ApprovalState.DENIED, "denied: because"),
        (ApprovalState.USED, "executed once"),
    ],
)
def test_a_settled_card_offers_nothing(state: ApprovalState, words: str) -> None:
    said = text_of(state=state, decided_by="os:bob", note="because" if state is ApprovalState.DENIED else "")
    assert words in said
    assert "exactly this call" not in said


def test_a_call_without_arguments_says_so_and_an_edited_one_who_edited_it() -> None:
    said = text_of(arguments={}, follows="a_0")
    assert "no arguments" in said
    assert "A person changed the arguments." in said
