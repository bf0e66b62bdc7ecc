"""Sink values in canonical form, and lists of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Effect, SinkKind
from gateway.core.sinks import UNPARSED, ValueList, canonical_sink, folded, sink_values
from tests.core.cases import tool_of


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("email", " Alice@Corp.Example ", "alice@corp.example"),
        ("email", "Alice <alice@corp.example>", None),
        ("email", "a@corp.example,b@evil.example", None),
        ("email", "a@b@corp.example", None),
        ("email", "a@", None),
        ("email", "@corp.example", None),
        ("email", "a@corp.example\nBcc: x@evil.example", None),
        ("email", "a@cоrp.example", "a@xn--crp-sed.example"),
        ("email", "a@corp\u200b.example", None),
        ("url", "HTTPS://Corp.Example:443", "https://corp.example/"),
        ("url", "https://corp.example:8443/a/./b?q=1#x", "https://corp.example:8443/a/b?q=1"),
        ("url", "https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
        ("url", "https://corp.example@evil.example/", None),
        ("url", "https://corp.example\\@evil.example/", None),
        ("url", "https://corp.example/a/../b", None),
        ("url", "https://corp.example/%2e%2e/b", None),
        ("url", "https://corp.example:port/", None),
        ("url", "javascript:alert(1)", None),
        ("url", "https:///x", None),
        ("host", "Corp.Example.", "corp.example"),
        ("host", "127.0.0.1", "127.0.0.1"),
        ("host", "0x7f.1", None),
        ("host", "2130706433", None),
        ("host", "a b", None),
        ("host", "a..b", None),
        ("host", "é" * 100 + ".example", None),
        ("path", "/a//b/./c/", "/a/b/c"),
        ("path", "a/../../etc", None),
        ("path", "a\\b", None),
        ("path", "./", "."),
        ("path", "/", "/"),
        ("account", "DE02 1203 0000 0000 2020 51", "DE02120300000000202051"),
        ("account", "DE02;1", None),
        ("account", "123", None),
        ("amount", "10.50", "10.5"),
        ("amount", "1e3", "1000"),
        ("amount", "0", "0"),
        ("amount", "NaN", None),
        ("amount", "1e999", None),
        ("amount", "1-1", None),
        ("amount", "ten", None),
        ("id", "INV-7", "INV-7"),
        ("id", "a, b", None),
        ("text", " two words ", "two words"),
        ("text", "two\nlines", "two\nlines"),
        ("text", "", None),
        ("id", "", None),
    ],
)
def test_a_value_has_one_form_of_its_kind_or_none(kind: str, text: str, expected: str | None) -> None:
    assert canonical_sink(SinkKind(kind), text) == expected


@given(st.sampled_from(SinkKind), st.text(max_size=30))
def test_a_canonical_form_is_its_own_canonical_form(kind: SinkKind, text: str) -> None:
    form = canonical_sink(kind, text)
    if form is not None:
        assert canonical_sink(kind, form) == form


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("alice@corp.example", True, id="pattern"),
        pytest.param("ALICE@CORP.EXAMPLE", True, id="case folded"),
        pytest.param("ａlice@corp.example", True, id="full width"),
        pytest.param("bob@evil.example", True, id="whole value"),
        pytest.param("evil@x.example,alice@corp.example", False, id="no comma in a run"),
        pytest.param("evil@x.example alice@corp.example", False, id="no white space"),
        pytest.param("x@evil.example@corp.example", False, id="no second at"),
        pytest.param("alice@corp.example.evil.example", False, id="whole, not a part"),
        pytest.param("a/b@corp.example", False, id="no slash"),
        pytest.param("a\x00b@corp.example", False, id="no control character"),
        pytest.param("", False, id="empty"),
    ],
)
def test_a_list_holds_whole_values_only(value: str, expected: bool) -> None:
    assert ValueList.of(["*@corp.example", "Bob@evil.example"]).holds(value) is expected


def test_a_list_without_patterns_holds_its_values() -> None:
    assert ValueList.of(["a"]).holds("A")
    assert not ValueList.of(["a"]).holds("b")
    assert folded("Ｓtraße") == "strasse"


ARGUMENTS = {
    "to": ["A@corp.example", "nobody"],
    "subject": "hello",
    "priority": "low",
    "extra": {"deep": [1, True, None, 2.5]},
}


def test_above_tier_read_every_argument_that_is_neither_payload_nor_inert_is_a_sink() -> None:
    tool = tool_of(Effect.EGRESS, sinks={"to": SinkKind.EMAIL}, payload=("subject",), inert=("priority",))
    assert sink_values(tool, ARGUMENTS) == ("a@corp.example", f"{UNPARSED}nobody", "deep", "1", "true", "2.5")


def test_a_read_has_only_the_sinks_that_are_named() -> None:
    tool = tool_of(Effect.READ, sinks={"to": SinkKind.TEXT})
    assert sink_values(tool, ARGUMENTS) == ("A@corp.example", "nobody")


def test_of_a_tool_that_nobody_labelled_every_value_is_a_sink() -> None:
    tool = tool_of(Effect.DESTRUCTIVE, sinks=None)
    assert sink_values(tool, ARGUMENTS)[:4] == ("A@corp.example", "nobody", "hello", "low")


def test_the_name_of_a_hidden_recipient_in_a_key_is_a_sink() -> None:
    tool = tool_of(Effect.EGRESS, sinks={"to": SinkKind.EMAIL})
    assert sink_values(tool, {"to": {"evil@x.example": "a@corp.example"}}) == ("evil@x.example", "a@corp.example")
