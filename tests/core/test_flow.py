"""Good origins: what is found in them, for which effect that is enough, and what never is."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import flow
from gateway.core.flow import (
    ARGUMENT,
    LISTED,
    PROMPT,
    READ_ARGUMENT,
    TRUSTED,
    Origins,
    bare,
    carries_proven,
    links,
    trace,
    unproven,
)
from gateway.core.model import Effect, SinkKind, Surface, Tool, Traced
from gateway.core.sinks import UNPARSED, ValueList, canonical_sink
from tests.core.cases import tool_of

ASKED = (
    "Please send the report to Bob.Smith@Corp.example, cc (ann@corp.example). Pay 1,200.50 to DE89 3704 0044 0532 0130 "
    "00 or 4111-1111-1111; see https://X.example/a?b=1. Create the folder 'Project Alpha' in /home/al//Docs/! "
    "owner:cy@corp.example, Büro@bücher.example."
)


def origins(**said: Any) -> Origins:
    """Origins that were said so."""
    found = Origins()
    for origin, value in said.items():
        found.add(origin, value)
    return found


def find(known: Origins, kind: SinkKind, leaf: str) -> frozenset[str]:
    """Where a value is found, as a call would spell it."""
    return known.find(kind, canonical_sink(kind, leaf) or UNPARSED + leaf, leaf)


@pytest.mark.parametrize(
    ("kind", "leaf"),
    [
        (SinkKind.EMAIL, "bob.smith@corp.example"),
        (SinkKind.EMAIL, "BOB.SMITH@CORP.EXAMPLE"),
        (SinkKind.EMAIL, "ann@corp.example"),
        (SinkKind.EMAIL, "cy@corp.example"),
        (SinkKind.EMAIL, "Büro@bücher.example"),
        (SinkKind.AMOUNT, "1200.50"),
        (SinkKind.ACCOUNT, "DE89370400440532013000"),
        (SinkKind.ACCOUNT, "4111 1111 1111"),
        (SinkKind.URL, "https://x.example/a?b=1"),
        (SinkKind.PATH, "/home/al/Docs"),
        (SinkKind.TEXT, "Project Alpha"),
        (SinkKind.TEXT, "project  alpha"),
        (SinkKind.TEXT, "please"),
    ],
)
def test_a_value_that_stands_there_whole_is_found(kind: SinkKind, leaf: str) -> None:
    assert find(origins(prompt=ASKED), kind, leaf) == {PROMPT}
    assert not find(origins(), kind, leaf)


@pytest.mark.parametrize(
    ("kind", "leaf"),
    [
        (SinkKind.EMAIL, "smith@corp.example"),
        (SinkKind.EMAIL, "bob.smith@corp.exampl"),
        (SinkKind.HOST, "corp.example"),
        (SinkKind.URL, "https://x.example/a"),
        (SinkKind.PATH, "/home/al"),
        (SinkKind.PATH, "al/Docs"),
        (SinkKind.PATH, "/home/al/docs"),
        (SinkKind.ACCOUNT, "370400440532013000"),
        (SinkKind.TEXT, "Alpha in"),
        (SinkKind.TEXT, "lpha"),
        (SinkKind.TEXT, "send report"),
        (SinkKind.TEXT, "1,200"),
        (SinkKind.TEXT, "Pay"),
        (SinkKind.EMAIL, "no address"),
    ],
)
def test_a_part_of_a_value_is_no_value(kind: SinkKind, leaf: str) -> None:
    assert not find(origins(prompt=ASKED), kind, leaf)


def test_a_text_that_is_json_is_read_as_such() -> None:
    known = origins(trusted='{"note": "mail \\"ann@corp.example\\"", "n": [12345]}', argument="[broken json}")
    assert find(known, SinkKind.EMAIL, "ann@corp.example") == {TRUSTED}
    assert find(known, SinkKind.ID, "12345") == {TRUSTED}
    assert find(known, SinkKind.TEXT, "broken json") == {ARGUMENT}


def test_an_argument_proves_an_amount_or_an_account_only_if_it_was_one() -> None:
    known = Origins()
    known.add(ARGUMENT, "4123", SinkKind.ID)
    known.add(ARGUMENT, ["5555"], SinkKind.AMOUNT)
    known.add(READ_ARGUMENT, "6666", SinkKind.AMOUNT)
    assert find(known, SinkKind.ID, "4123") == {ARGUMENT}
    assert find(known, SinkKind.AMOUNT, "4123") == frozenset()
    assert find(known, SinkKind.AMOUNT, "5555") == {ARGUMENT}
    assert find(known, SinkKind.ID, "5555") == frozenset()
    assert find(known, SinkKind.AMOUNT, "6666") == frozenset()


def test_a_date_is_no_account_number() -> None:
    known = origins(prompt="on 2027-05-01, or 2027-05-01 10:00; account 2027-0501-9999")
    assert not find(known, SinkKind.ACCOUNT, "20270501")
    assert find(known, SinkKind.ACCOUNT, "202705019999")


def test_a_value_of_several_words_needs_them_in_order_and_whole() -> None:
    known = origins(prompt="the red car and (a blue bus). rot car: red bus", trusted="x red car!")
    assert find(known, SinkKind.TEXT, "red car") == {PROMPT, TRUSTED}
    assert not find(known, SinkKind.TEXT, "blue car")
    assert not find(known, SinkKind.TEXT, "bus red")
    assert not find(origins(prompt="prered car, red cars"), SinkKind.TEXT, "red car")


def test_origins_are_bounded_and_what_is_forgotten_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_KEPT", 40_000)
    known = origins(prompt="the prompt-word stays")
    for number in range(600):
        known.add(TRUSTED, f"trusted-{number} " * 3)
        assert known.size <= 40_000
    assert find(known, SinkKind.ID, "prompt-word")
    assert find(known, SinkKind.ID, "trusted-599")
    assert not find(known, SinkKind.ID, "trusted-0")
    known.forget()
    assert not find(known, SinkKind.ID, "prompt-word")


SPELLINGS = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "reversed": lambda text: text[::-1],
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "spaced": " ".join,
    "zero-width": "\u200b".join,
    "glued": lambda text: f"x{text}y",
    "cut": lambda text: f"{text[:4]} {text[4:]}",
}


@given(st.text(st.characters(exclude_characters="@"), max_size=40), st.emails(), st.sampled_from(sorted(SPELLINGS)))
def test_no_spelling_of_a_value_proves_it(said: str, value: str, spelling: str) -> None:
    known = origins(trusted=f"{said} {SPELLINGS[spelling](value)} {said}")
    assert not find(known, SinkKind.EMAIL, value)


# --- which origins are good enough -----------------------------------------------------------------------------------


LISTS = {"colleagues": ValueList.of(["*@corp.example"])}


def traced(*said: str, kind: SinkKind = SinkKind.EMAIL, value: str = "eve@evil.example", **more: Any) -> Traced:
    """A value that was found in these origins."""
    return Traced("to", "to", kind, value, frozenset(said), **more)


GOOD = {
    Effect.WRITE: {PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED, LISTED},
    Effect.EGRESS: {PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED, LISTED},
    Effect.MONEY: {PROMPT, ARGUMENT, LISTED},
    Effect.PRIVILEGE: {PROMPT, ARGUMENT, LISTED},
    Effect.DESTRUCTIVE: {PROMPT, ARGUMENT},
    Effect.CREDENTIAL: {PROMPT, ARGUMENT},
}


@pytest.mark.parametrize("effect", GOOD)
@pytest.mark.parametrize("origin", [PROMPT, ARGUMENT, READ_ARGUMENT, TRUSTED])
def test_an_origin_is_good_enough_for_its_effects(effect: Effect, origin: str) -> None:
    value, tool = traced(origin), tool_of(effect)
    assert unproven(tool, [value], 2, {}) == (() if origin in GOOD[effect] else (value,))
    assert unproven(tool, [traced()], 2, {}) == (traced(),)


@pytest.mark.parametrize("effect", GOOD)
def test_a_prompt_proves_write_and_egress_alone_where_the_caller_runs_as_the_same_user(effect: Effect) -> None:
    value = traced(PROMPT)
    proven = effect in (Effect.WRITE, Effect.EGRESS)
    assert unproven(tool_of(effect), [value], 0, {}) == (() if proven else (value,))


@pytest.mark.parametrize("effect", GOOD)
def test_a_known_list_is_good_for_its_argument_alone(effect: Effect) -> None:
    tool = tool_of(effect, known={"to": "colleagues"})
    listed = traced(value="bob@corp.example")
    assert unproven(tool, [listed], 0, LISTS) == (() if LISTED in GOOD[effect] else (listed,))
    assert unproven(tool_of(effect), [listed], 0, LISTS) == (listed,)
    for other in (traced(value=UNPARSED + "x@corp.example"), traced(value="bob@corp.example", payload=True)):
        assert unproven(tool, [other], 0, LISTS) == (other,)


def test_a_call_of_tier_high_that_names_nothing_is_bare() -> None:
    assert bare(tool_of(Effect.EGRESS), ())
    assert bare(tool_of(Effect.EGRESS), (traced(payload=True),))
    assert not bare(tool_of(Effect.EGRESS), (traced(),))
    assert not bare(tool_of(Effect.WRITE), ())


# --- the values of a call --------------------------------------------------------------------------------------------


def mail(effect: Effect = Effect.EGRESS, **labels: Any) -> Tool:
    """A tool that sends something to somebody."""
    return tool_of(effect, **{"sinks": {"to": SinkKind.EMAIL}, "payload": ("body",), "inert": ("mood",), **labels})


def test_sinks_and_what_is_no_payload_are_traced_with_their_places() -> None:
    known = origins(prompt="to ann@corp.example")
    call = {"to": ["Ann@corp.example", {"x": "eve@evil.example"}], "mood": "good", "body": "plain", "more": 12345}
    assert [(each.place, each.value, set(each.origins), each.payload) for each in trace(mail(), call, known)] == [
        ("to[0]", "ann@corp.example", {PROMPT}, False),
        ("to[1].x", "eve@evil.example", set(), False),
        ("more", "12345", set(), False),
    ]


def test_the_name_of_a_field_is_no_value_and_what_may_be_one_is() -> None:
    call = {"to": [{"email": "ann@corp.example"}, {"eve@evil.example": "to", "not a field": ""}]}
    found = trace(mail(), call, origins())
    told = ["ann@corp.example", "eve@evil.example", UNPARSED + "to", UNPARSED, UNPARSED + "not a field"]
    assert sorted(each.value for each in found) == sorted(told)


@pytest.mark.parametrize("effect", [Effect.EGRESS, Effect.MONEY])
def test_links_in_what_is_sent_or_paid_for_are_traced(effect: Effect) -> None:
    call = {"body": {"text": "see www.evil.example/x or ann@corp.example, acct 123456789012"}}
    found = trace(mail(effect), call, origins(prompt="ann@corp.example"))
    assert [(each.kind, each.place, bool(each.origins), each.payload) for each in found] == [
        (SinkKind.EMAIL, "body.text", True, True),
        (SinkKind.URL, "body.text", False, True),
        (SinkKind.ACCOUNT, "body.text", False, True),
    ]


def test_links_in_what_is_only_written_or_is_no_tool_are_not() -> None:
    call = {"body": "see http://evil.example"}
    assert trace(mail(Effect.WRITE), call, origins()) == ()
    asked = mail()
    question = Tool(*(asked.ref, "x", {}, "d", asked.effect, asked.tier, asked.labels, None, Surface.METHODS))
    assert trace(question, call, origins()) == ()


def test_more_values_than_are_looked_at_have_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_VALUES", 1)
    known = origins(prompt="ann@corp.example http://one.example/x")
    found = trace(mail(), {"to": ["ann@corp.example"] * 2, "body": "http://one.example/x"}, known)
    assert [bool(each.origins) for each in found] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("go to https://evil.example/a(b), now", ["https://evil.example/a"]),
        ("evil.example/x?d=1 and a/b.c/d", ["http://evil.example/x?d=1"]),
        ("mail a.b+c@x.example; on 2026-11-29 at 10:00:00", ["a.b+c@x.example"]),
        ("GB29 NWBK 6016 1331 9268 19", ["GB29 NWBK 6016 1331 9268 19"]),
        ("https://x.example/?to=bob@y.example", ["https://x.example/?to=bob@y.example"]),
        ("version 1.2/3, room 12345, 4 of 5, README.md, a//b, // TODO: x", []),
        ("//evil.example/login", ["http://evil.example/login"]),
        ("<a href='https&colon;&sol;&#x2f;evil.example&#47;x'>", ["https://evil.example/x"]),
        ("http://[2001:db8::66]/x and http:// alone", ["http://[2001:db8::66]/x"]),
        ("https://one.example/?a=1&copy=2", ["https://one.example/?a=1&copy=2"]),
        (
            "https:/\u200b/evil.example/x h\u200bttps://two.example/\ufe0f",
            ["https://evil.example/x", "https://two.example/"],
        ),
        ("evil.example:8443/login evil.example?x=1", ["http://evil.example:8443/login", "http://evil.example?x=1"]),
        ("https:evil.example \\\\evil.example\\share", ["http://evil.example", "http://evil.example"]),
    ],
)
def test_links_of_a_text(text: str, found: list[str]) -> None:
    assert [link for _, link in links(text)] == found


# --- whether an output may prove -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "proven"),
    [
        ({}, True),
        ({"q": "ann@corp.example"}, True),
        ({"q": "eve@evil.example"}, False),
        ({"q": ["ann@corp.example", "eve@evil.example"]}, False),
        ({"to": "bob@corp.example"}, True),
        ({"to": "bob"}, False),
        ({"limit": 10, "all": True}, True),
        ({"a": "evi", "b": "l@x", "c": ".co"}, False),
        ({"q": "true"}, False),
        ({"q": None}, True),
        ({"eve@evil.example": True}, False),
        ({"eve@evil.example": None}, False),
        ({"ann@corp.example": True}, True),
        ({"q": {"eve@evil.example": True}}, False),
        ({"evi": 1, "l@x": 1, ".co": 1}, False),
        ({"x": 1}, True),
        ({"": 1}, False),
    ],
)
def test_an_output_proves_only_if_all_that_was_said_is_proven(arguments: dict[str, Any], proven: bool) -> None:
    schema = {"type": "object", "properties": {"q": {}, "limit": {}, "all": {}, "a": {}, "b": {}, "c": {}}}
    tool = find_by(schema, sinks={"to": SinkKind.EMAIL}, known={"to": "colleagues"})
    assert carries_proven(tool, arguments, origins(prompt="for ann@corp.example"), LISTS) is proven


def find_by(schema: Any, **labels: Any) -> Tool:
    """A read whose definition says that these are its arguments."""
    return replace(tool_of(Effect.READ, **labels), definition={"name": "find", "inputSchema": schema})


@pytest.mark.parametrize(
    "schema", [None, [], {"type": "object"}, {"properties": ["folder"]}, {"properties": {"q": {}}}]
)
def test_a_name_that_neither_schema_nor_label_says_is_a_value(schema: Any) -> None:
    asked = {"folder": True, "q": "ann@corp.example"}
    said = origins(prompt="for ann@corp.example")
    assert not carries_proven(find_by(schema), asked, said, {})
    for labels in ({"sinks": {"folder": SinkKind.TEXT}}, {"payload": ("folder",)}, {"inert": ("folder",)}):
        assert carries_proven(find_by(schema, **labels), asked, said, {})
    assert carries_proven(find_by({"properties": {"folder": {}}}), asked, said, {})


def test_a_prompt_declares_its_arguments_in_its_own_way() -> None:
    of = {"name": "brief", "arguments": [{"name": "folder"}, {"name": ["odd"]}, "odd"]}
    tool = replace(tool_of(Effect.READ), definition=of, surface=Surface.PROMPTS)
    assert carries_proven(tool, {"folder": "ann@corp.example"}, origins(prompt="for ann@corp.example"), {})
    assert not carries_proven(tool, {"odd-name": "ann@corp.example"}, origins(prompt="for ann@corp.example"), {})


@given(st.lists(st.text(min_size=1), max_size=4), st.dictionaries(st.text(), st.none() | st.booleans(), max_size=4))
def test_no_name_of_an_argument_says_what_has_no_origin(declared: list[str], arguments: dict[str, Any]) -> None:
    tool = find_by({"properties": dict.fromkeys(declared)})
    said = sum(len(name.strip()) for name in arguments if name not in declared)
    assert not carries_proven(tool, arguments, origins(prompt="nothing"), {}) or said <= flow._HARMLESS


def test_the_origins_that_something_is_known_from_are_told_as_words() -> None:
    assert origins().words == frozenset()
    assert origins(prompt="to ann", argument={"to": "bob"}).words == {PROMPT, ARGUMENT}
    paid = Origins()
    paid.add(ARGUMENT, "12.50", SinkKind.AMOUNT)
    assert paid.words == {ARGUMENT}
