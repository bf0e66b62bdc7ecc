"""What of a record is searched, what counts as a word, and that whoever looks beforehand leaves nothing out."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import search
from gateway.core.model import Finding, Kind
from gateway.core.query import FILTERS
from gateway.core.record import encode
from gateway.core.search import LONGEST, Search, text_of, words
from tests.fakes import a_record

RECORD = a_record(
    7,
    Kind.OUTCOME,
    outcome="error",
    detail="The File is gone",
    arguments={"path": "/etc/Passwd", "lines": [1, 2.5, True, None], "to": {"e-mail": "ann@example.com"}},
    result={"content": [{"type": "text", "text": "Straße und ﬁne 日本語abc"}]},
    findings=(Finding("github-token", "content[0].text", "ff00"),),
    extra={"votes": []},
    arguments_digest="abcdef" * 8,
    timings_us={"decide": 4711},
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "error",
            "ERROR",
            "write_f",
            "file",
            "etc/passwd",
            "/etc/pass",
            "2.5",
            "ann@example",
            "e-mail",
            "gone.",
            "github",
        ),
        *(
            "strasse",
            "STRASSE",
            "fine",
            "日本",
            "本語",
            "語",
            "abc",
            "d_0000000007",
            "0000000007",
            "the gone file",
            "os:ali",
        ),
    ],
)
def test_words_are_found_from_their_beginnings(text: str) -> None:
    assert Search.of(text).holds(RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "rror",
        "asswd",
        "passwd/etc",
        "etc.passwd",
        "true",
        "null",
        "abcdef",
        "4711",
        "ff00",
        "本日",
        "bc",
        "gone nowhere",
    ],
)
def test_what_does_not_begin_a_word_stands_in_no_text_or_is_no_text_is_not_found(text: str) -> None:
    assert not Search.of(text).holds(RECORD)


@pytest.mark.parametrize("text", ["", "   ", "-- // …"])
def test_a_text_without_letters_asks_for_nothing(text: str) -> None:
    assert Search.of(text) == Search(())


def test_every_filter_is_searched_too() -> None:
    """An index is asked for the values of filters as well as for words."""
    record = a_record(1, **{name: f"only{name}" for name in FILTERS if name != "kind"})
    assert all(f"only{name}" in text_of(record) for name in FILTERS if name != "kind")
    assert "intent" in words(text_of(record))


def test_what_is_searched_of_a_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST", 1_000)
    record = a_record(1, arguments={"text": "a " * 400, "then": "b " * 400, "last": "c"})
    assert len(text_of(record)) <= 1_000
    assert Search.of("then").holds(record)
    assert not Search.of("last").holds(record)


def test_an_index_is_not_asked_for_what_is_everywhere() -> None:
    assert Search.of("a").expression(()) == ""
    assert Search.of("a bc").expression(()) == '"bc"*'
    assert Search.of("語").expression(()) == '"語"*'
    assert Search.of("etc/pass").expression(["os:ann"]) == '"ann" AND "os" AND "etc" AND "pass"*'
    assert Search.of("x" * 99).expression(()) == f'"{"x" * LONGEST}"*'
    assert Search.of(" ".join(f"word{number}" for number in range(99))).expression(()).count(" AND ") == 31


TEXTS = st.text(st.sampled_from('aAbß1_ -./\n"\\éＡ日ſ\u0301\u202e')) | st.text(max_size=8)
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def asked_of(record: Any, data: st.DataObject) -> Search:
    """Words that stand in a record, or nearly."""
    text = text_of(record)
    begin = data.draw(st.integers(0, len(text)))
    return Search.of(text[begin : begin + data.draw(st.integers(1, 12))])


@given(VALUES, st.data())
def test_neither_the_bytes_nor_an_index_leave_out_what_holds_the_words(value: Any, data: st.DataObject) -> None:
    try:
        record = a_record(1, arguments={"value": value})
        body = encode(record)
    except ValueError:
        return  # what can't be recorded can't be searched
    asked, held = asked_of(record, data), words(text_of(record))
    if not asked.holds(record):
        return
    assert asked.may_stand_in(body)
    for term in filter(None, asked.expression([record.principal]).split(" AND ")):
        word = term.strip('"*')
        assert any(each.startswith(word) for each in held) if term.endswith("*") else word in held


@given(st.text())
def test_words_are_what_an_index_takes_for_one(text: str) -> None:
    """The index takes signs beyond ASCII, and letters and digits of ASCII, for parts of words."""
    for word in words(search.fold(text)):
        assert not re.search(r"[^a-z0-9\x80-\U0010ffff]", word)


def test_bytes_that_can_not_hold_a_word_are_known() -> None:
    body = encode(a_record(1))
    assert not Search.of("nowhere").may_stand_in(body)
    assert Search.of("日").may_stand_in(body)  # not known
    assert Search.of("nowhere").may_stand_in(encode(RECORD))  # not known: letters may stand for others
