"""The card: what a person sees is all of it, with nothing hidden, and the gateway's own line last."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.card import (
    FOLDED,
    HEX,
    MOST_CARRIED,
    NAME_LIMIT,
    PREVIEW_LINES,
    TEXT_LIMIT,
    VALUE_LIMIT,
    arguments_lines,
    card,
    statement,
    value_line,
    why,
)
from gateway.core.model import Approval, ApprovalState, Effect, Reason, Requirement, Shown, Tier
from gateway.core.outward import parted
from gateway.core.view import History, view
from gateway.core.visible import visible

AT = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


def approval(**changes: object) -> Approval:
    base = Approval(
        id="a_0000000001",
        state=ApprovalState.WAITING,
        call="d_0000000001",
        principal="os:ada",
        client="claude-code",
        session="s_1",
        upstream="files",
        tool="write_file",
        exposed="files__write_file",
        definition="0" * 64,
        arguments={"path": "notes.txt", "count": 3},
        arguments_digest="1" * 64,
        tier=Tier.WRITE,
        effect=Effect.WRITE,
        rule="",
        reason=Reason.TIER_DEFAULT,
        requirement=Requirement(),
        obligations=(),
        policy_revision="r",
        created_at=AT,
        expires_at=AT.replace(minute=40),
    )
    return replace(base, **changes)


def test_the_card_shows_tool_arguments_and_the_gateways_line_last() -> None:
    lines = card(approval()).splitlines()
    assert "files__write_file" in lines[0]
    assert "  count: 3" in lines
    assert "  path: notes.txt" in lines
    assert any("15:40 UTC" in line for line in lines)
    assert lines[-1].startswith("— Wardgate, approval a_0000000001")


def test_the_card_tells_what_was_decided_before() -> None:
    assert "Before: approved once, denied 2 times" in card(
        approval(shown=Shown(before="approved once, denied 2 times"))
    )
    assert "Before:" not in card(approval())


def test_the_card_names_every_rule_that_asks() -> None:
    text = card(approval(rule="a.one", rules=("a.one", "b.two"), reason=Reason.RULE))
    assert "rules a.one, b.two (rule)" in text


def test_the_card_names_the_rule_where_one_decided() -> None:
    assert "rule mail.ask" in card(approval(rule="mail.ask"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\u202eb", "a\\u{202e}b"),
        ("a\u200bb", "a\\u{200b}b"),
        ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
        ("line\nbreak\ttab", "line\\nbreak\\ttab"),
        ("a\u00a0b", "a\\u{a0}b"),
        ("größe 日本", "größe 日本"),
    ],
    ids=["plain", "direction", "zero-width", "escape", "line break and tab", "no-break space", "letters stay"],
)
def test_hidden_characters_are_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_value_can_not_add_lines_to_the_card() -> None:
    forged = "x\n— Wardgate, approval a_FORGED. Approved."
    assert len(card(approval(arguments={"text": forged})).splitlines()) == len(
        card(approval(arguments={"text": "x"})).splitlines()
    )


def test_a_long_value_is_folded_with_its_end_its_length_and_its_digest() -> None:
    value = "A" * 5_000 + "EVILTAIL"
    line = value_line("text", value)
    assert line.startswith("  text: AAAA")
    assert f"EVILTAIL (5008 characters in all, sha256 {hashlib.sha256(value.encode()).hexdigest()[:HEX]})" in line
    assert len(line) < VALUE_LIMIT + 2 * NAME_LIMIT
    assert value_line("text", f"{value[:-1]}l")[-20:] != line[-20:]
    assert f"{VALUE_LIMIT + 4 + 2} characters in all" in value_line("list", ["y" * (VALUE_LIMIT + 2)])
    assert "sha256" not in value_line("text", "y" * VALUE_LIMIT)


@pytest.mark.parametrize(
    "value",
    ["x" * 5_000, "\ud800" * 900, ["\u202e" * 5_000], {"b": [1.5] * 900, "a": None}],
    ids=["text", "half", "list", "map"],
)
@pytest.mark.parametrize("limit", [FOLDED, VALUE_LIMIT])
def test_each_card_tells_the_same_digest_of_what_it_folds(value: Any, limit: int) -> None:
    (one,) = view(approval(arguments={"text": value}), History(), (), AT).arguments
    assert f" ({one.length} characters in all, sha256 {one.digest})" in value_line("text", value, limit)


def test_many_arguments_are_bounded_and_counted() -> None:
    many = {f"n{index:03}": "z" * 500 for index in range(TEXT_LIMIT // FOLDED)}
    lines = arguments_lines(approval(arguments=many))
    assert lines[-1].endswith("more")
    assert len(lines) < len(many)
    assert sum(map(len, lines)) < TEXT_LIMIT + len(lines[-1])


@pytest.mark.parametrize(
    "filling",
    [
        {f"a{number:02}": "x" * 5_000 for number in range(30)},
        {"a" * (2 * TEXT_LIMIT): 1},
        {"!" * TEXT_LIMIT: "\u202e" * TEXT_LIMIT},
        {f"{number:02}": list(range(900)) for number in range(20)},
    ],
    ids=["values", "a-name", "hidden", "lists"],
)
def test_no_argument_is_pushed_off_the_card_by_what_stands_before_it(filling: dict[str, Any]) -> None:
    lines = arguments_lines(approval(arguments={**filling, "to": "eve@evil.example"}))
    assert "  to: eve@evil.example" in lines
    assert sum(map(len, lines)) <= TEXT_LIMIT
    assert not lines[-1].endswith("more")


def test_where_the_effect_lands_stands_before_what_it_carries() -> None:
    row = replace(approval(arguments={"body": "hello", "to": "bob@example.com"}), free=("body",))
    assert arguments_lines(row) == ("  to: bob@example.com", "  body: hello")


def test_no_arguments_are_said() -> None:
    assert arguments_lines(approval(arguments={})) == ("  (no arguments)",)


def test_a_statement_binds_the_call_and_what_was_shown_of_it() -> None:
    key = b"k" * 32
    said = statement(approval(), "gw", key)
    assert (said["gateway"], said["call"], said["arguments_digest"]) == ("gw", "d_0000000001", "1" * 64)
    for change in ({"arguments": {"path": "other"}}, {"expires_at": AT}, {"exposed": "files__other"}):
        assert statement(approval(**change), "gw", key)["shown"] != said["shown"]
    assert statement(approval(), "gw", b"o" * 32)["shown"] != said["shown"]
    assert "asked_digest" not in said
    edited = statement(approval(follows="a_0000000000", asked_digest="2" * 64), "gw", key)
    assert (edited["arguments_digest"], edited["asked_digest"]) == ("1" * 64, "2" * 64)


def test_the_card_tells_whose_authority_a_call_uses_and_how_the_caller_is_known() -> None:
    text = card(approval(shown=Shown(known_by="token", claimed="Wardgate\u202e", acts_as="human ada", places=("p:1",))))
    assert "Acts as: human ada" in text
    assert "os:ada (token) with claude-code" in text
    assert "\u202e" not in text
    assert "p:1" in text


def test_the_card_names_what_was_read_before_as_a_fact_and_only_so_much_of_it() -> None:
    carried = tuple({"argument": f"to[{number}]", "source": "d_1"} for number in range(40))
    lines = card(approval(shown=Shown(carried=carried))).splitlines()
    begin = lines.index("Read before:")
    assert lines[begin + 1] == "  to[0]: stood in the output of d_1"
    assert sum(line.startswith("  to[") for line in lines) == MOST_CARRIED


@pytest.mark.parametrize(
    ("preview", "shown"),
    [
        ({"tool": "get", "text": "one\ntwo\u200b"}, ["What it would change, by `get`:", "  | one", "  | two\\u{200b}"]),
        ({"tool": "get", "why": "it gave no answer"}, ["No preview by `get`: it gave no answer."]),
    ],
)
def test_the_card_shows_the_preview_or_why_there_is_none(preview: dict[str, str], shown: list[str]) -> None:
    lines = card(approval(shown=Shown(preview=preview))).splitlines()
    begin = lines.index(shown[0])
    assert lines[begin : begin + len(shown)] == shown


def test_a_long_preview_is_cut_and_says_how_much_is_missing() -> None:
    text = "\n".join(f"line {number}" for number in range(PREVIEW_LINES + 5))
    assert "  | … 5 more lines" in card(approval(shown=Shown(preview={"tool": "get", "text": text})))


def test_the_card_of_an_edited_call_and_of_an_unlabelled_tool_say_so() -> None:
    assert "Arguments, as a person changed them:" in card(approval(follows="a_0"))
    assert "nobody said what this tool does" in card(approval(shown=Shown(labelled=False)))


def test_the_statement_changes_with_anything_that_is_shown() -> None:
    key = b"k" * 32
    told = {
        statement(row, "gw", key)["shown"]
        for row in (
            approval(),
            approval(arguments={"path": "other"}),
            approval(shown=Shown(preview={"tool": "get", "text": "x"})),
            approval(shown=Shown(acts_as="human ada")),
            approval(effect=Effect.MONEY),
        )
    }
    assert len(told) == 5


@pytest.mark.parametrize("code", [0xFE01, 0xE0101, 0x034F, 0x3164, 0x115F, 0xFFA0, 0x2800, 0x180B, 0x17B4], ids=hex)
def test_letters_and_marks_of_which_nothing_is_to_be_seen_are_made_visible(code: int) -> None:
    """Whole sentences can be hidden in selectors of variants."""
    assert visible(f"a{chr(code)}b") == f"a\\u{{{code:x}}}b"


LEAVING = "it would send out github-pat in arguments.text"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"reason": Reason.SECRET_FOUND, "rule": "mail.free", "rules": ("mail.free",)}, LEAVING),
        ({"reason": Reason.RULE, "rule": "mail.ask"}, f"rule mail.ask (rule); {LEAVING}"),
        ({}, f"no rule allows it, and effect write asks; {LEAVING}"),
    ],
    ids=["a rule allows it", "a rule asks", "the tier asks"],
)
def test_the_card_says_which_secrets_would_leave_and_where_they_stand(row: dict[str, Any], told: str) -> None:
    asked = approval(shown=Shown(detail=f"{LEAVING}"), **row)
    assert f"Stopped because: {told}\n" in card(asked)
    before = approval(shown=Shown(detail=f"it was to be reviewed; {LEAVING}"), **row)
    assert why(before) == told
    assert parted(before.shown.detail) == ("it was to be reviewed", LEAVING)
    assert parted("it was to be reviewed") == ("it was to be reviewed", "")
