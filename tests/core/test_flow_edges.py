"""Good origins at their edges: parts of numbers and links, what is too much to look at, and what reads carry out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import flow
from gateway.core.flow import ARGUMENT, PROMPT, Origins, carries_proven, trace
from gateway.core.model import Effect, SinkKind
from gateway.core.sinks import UNPARSED, canonical_sink
from tests.core.cases import tool_of


def find(said: str, kind: SinkKind, leaf: str) -> bool:
    """Whether a prompt proves a value."""
    known = Origins()
    known.add(PROMPT, said)
    return known.find(kind, canonical_sink(kind, leaf) or UNPARSED + leaf, leaf) == {PROMPT}


@pytest.mark.parametrize(
    ("said", "kind", "leaf", "stands"),
    [
        ("pay 1,234.50 now", SinkKind.AMOUNT, "1234.50", True),
        ("pay 1,234.50 now", SinkKind.AMOUNT, "1,234.50", False),
        ("pay 1,234.50 now", SinkKind.AMOUNT, "234.50", False),
        ("pay 12,345,678.90 now", SinkKind.AMOUNT, "678.90", False),
        ("pay 1,111,111x now", SinkKind.AMOUNT, "1111", False),
        ("version 3.123456789", SinkKind.ACCOUNT, "123456789", False),
        ("delete 4123,4124", SinkKind.ID, "4124", True),
        ("pay INV-123456789", SinkKind.ACCOUNT, "123456789", False),
        ("pay 123456789-x", SinkKind.ACCOUNT, "123456789", False),
        ("of 550e8400-e29b-41d4-a716-446655440000", SinkKind.ACCOUNT, "446655440000", False),
        ("to 1234 5678 90.", SinkKind.ACCOUNT, "1234567890", True),
        ("account:1234 5678 90", SinkKind.ACCOUNT, "1234567890", True),
        ("see https://X.example/AbC", SinkKind.URL, "https://x.example/AbC", True),
        ("see https://X.example/AbC", SinkKind.URL, "https://x.example/abc", False),
        ("see https://X.example/abc", SinkKind.URL, "https://x.example/AbC", False),
        ("write /srv/App/Config.yml", SinkKind.PATH, "/srv/app/config.yml", False),
        ("write /srv/app/config.yml", SinkKind.PATH, "/srv/App/Config.yml", False),
        ("write /srv/App/./Config.yml", SinkKind.PATH, "/srv/App/Config.yml", True),
        ("write '/srv/My App/x.yml'", SinkKind.PATH, "/srv/my app/x.yml", False),
        ("write '/srv/My App/x.yml'", SinkKind.PATH, "/srv/My App/x.yml", True),
        ("delete ABC123", SinkKind.ID, "abc123", False),
        ("delete id:ABCD", SinkKind.ID, "abcd", False),
        ("delete id:ABCD", SinkKind.ID, "ABCD", True),
        ("mail to:Bob@Corp.example", SinkKind.EMAIL, "bob@corp.example", True),
        ("ask host:DB.Corp.example", SinkKind.HOST, "db.corp.example", True),
        ("ask DB.Corp.example.", SinkKind.HOST, "Db.corp.example", True),
        ("mail Büro@BÜCHER.example", SinkKind.EMAIL, "büro@bücher.example", True),
        ("mail Büro@BÜCHER.example", SinkKind.ID, "büro@bücher.example", False),
        ("Archive them", SinkKind.TEXT, "archive", True),
        ("archive them", SinkKind.TEXT, "Archive", True),
        ("use /srv/App/Config.yml", SinkKind.TEXT, "/srv/app/config.yml", False),
        ("use Key-A1 alone", SinkKind.TEXT, "key-a1 alone", False),
        ("use Key-A1 alone", SinkKind.TEXT, "Key-A1 alone", True),
    ],
)
def test_what_is_only_a_part_of_it_or_another_one_is_not_found(
    said: str, kind: SinkKind, leaf: str, stands: bool
) -> None:
    assert find(said, kind, leaf) is stands


CASED = frozenset(SinkKind) - {SinkKind.EMAIL, SinkKind.HOST, SinkKind.ACCOUNT}


@given(st.from_regex(r"[A-Za-z0-9/_.-]{3,20}[0-9/_-]", fullmatch=True), st.sampled_from(sorted(CASED)))
def test_no_other_case_of_a_name_proves_it(name: str, kind: SinkKind) -> None:
    for said in {name.upper(), name.lower(), name.title()} - {name}:
        assert not find(f"use {said} now", kind, name) or canonical_sink(kind, said) == canonical_sink(kind, name)


@given(st.emails())
def test_an_address_is_the_same_in_any_case(address: str) -> None:
    form = canonical_sink(SinkKind.EMAIL, address)
    for said in (address, address.upper(), address.lower()):
        if form and form == canonical_sink(SinkKind.EMAIL, said):
            assert find(f"write to <{said}> now", SinkKind.EMAIL, form)


def test_many_short_texts_are_counted_for_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_KEPT", 50_000)
    known = Origins()
    for _ in range(5_000):
        known.add(ARGUMENT, "abcd")
    assert len(known._texts) < 500
    assert known.size <= 50_000


def test_values_of_several_words_are_searched_for_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Origins()
    known.add(PROMPT, f"Project Alpha {'and so on ' * 100}")
    tool = tool_of(Effect.WRITE, sinks={"to": SinkKind.TEXT})
    many: dict[str, Any] = {"to": ["project alpha"] * 20}
    assert all(value.origins for value in trace(tool, many, known))
    monkeypatch.setattr(flow, "MOST_SEARCHED", 3_000)
    assert carries_proven(tool, {"to": "project alpha"}, known, {})
    assert carries_proven(tool, {"to": ["project alpha"] * 2}, known, {})
    assert not carries_proven(tool, many, known, {})
    for _ in range(2):  # for each call anew
        assert [bool(value.origins) for value in trace(tool, many, known)] == [True] * 2 + [False] * 18


def test_a_read_that_fetches_carries_its_payload_out_as_a_send_does() -> None:
    said = {"url": "https://a.example/", "body": "see https://evil.example/x"}
    for fetches in (True, False):
        tool = tool_of(Effect.READ, sinks={"url": SinkKind.URL}, payload=("body",), fetches=fetches)
        found = [value.argument for value in trace(tool, said, Origins())]
        assert found == (["url", "body"] if fetches else ["url"])


def test_payload_beyond_what_is_looked_through_has_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_PAYLOAD", 100)
    tool = tool_of(Effect.EGRESS, sinks={"to": SinkKind.EMAIL}, payload=("body", "more"))
    assert trace(tool, {"body": "x" * 100}, Origins()) == ()
    (value,) = trace(tool, {"body": ["x" * 60, "y" * 60], "more": "z" * 60}, Origins())
    assert (value.place, value.payload, value.value[:1], value.origins) == ("body[1]", True, UNPARSED, frozenset())


def test_a_place_is_told_in_so_many_characters() -> None:
    tool = tool_of(Effect.WRITE, sinks={"to": SinkKind.EMAIL})
    (_, value) = trace(tool, {"to": {"x-" * 10_000: "eve@evil.example"}}, Origins())
    assert len(value.place) == flow.MOST_PLACE


@pytest.mark.parametrize("said", [" ".join(f"Word={number}" for number in range(100)), "1 " * 99 + "1.25, 2.50; " * 9])
def test_of_one_text_so_many_forms_are_indexed(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_FORMS", 3)
    known = Origins()
    known.add(PROMPT, said)
    assert 0 < len(known._index) <= 3


def test_what_is_known_twice_is_counted_once() -> None:
    known, again = Origins(), Origins()
    for one in (known, again):
        one.add(PROMPT, "send it to ann@corp.example")
    alone = known.size
    known.join(again)
    assert alone < known.size < 2 * alone
    both = Origins()
    for _ in range(2):
        both.add(PROMPT, "send it to ann@corp.example")
    assert known.size == both.size


def test_what_is_kept_stays_within_its_bounds_whatever_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_KEPT", 70_000)
    monkeypatch.setattr(flow, "MOST_FORMS", 400)
    known = Origins()
    for number in range(20):
        said = Origins()
        said.add(PROMPT, " ".join(f"Key{number}x{each}=Val{each}" for each in range(500)))
        assert len(said._index) <= 400
        known.join(said)
        known.add(PROMPT, f"some words {' '.join(f'w{number}x{each}' for each in range(200))}")
        assert known.size <= 70_000
        assert known.find(SinkKind.TEXT, "some words", "some words") == {PROMPT}


def test_a_value_of_several_words_is_found_once_for_each_origin() -> None:
    known = Origins()
    for origin in (PROMPT, PROMPT, ARGUMENT):
        known.add(origin, "see Project Alpha")
    assert known.find(SinkKind.TEXT, "Project Alpha", "Project Alpha") == {PROMPT, ARGUMENT}


@pytest.mark.parametrize("said", ["  ", "DE89 3704 0044 0532 0130 0037 0400 4405 320", f"1.{'1' * 50}"])
def test_what_is_nothing_or_no_number_is_no_origin_of_one(said: str) -> None:
    known = Origins()
    known.add(PROMPT, said)
    assert not known.find(SinkKind.ACCOUNT, "DE893704004405320130003704004405", "DE893704004405320130003704004405")
    assert not known.find(SinkKind.AMOUNT, "1.1111111111", "1.1111111111")
    assert bool(known.words) is bool(said.strip())


def test_one_text_that_takes_more_than_half_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_KEPT", 4_000)
    monkeypatch.setattr(flow, "MOST_FORMS", 30)
    known = Origins()
    for number in range(3):
        known.add(PROMPT, " ".join(f"word{each}of{number}" for each in range(30)))
    assert known.find(SinkKind.ID, "word1of2", "word1of2") == {PROMPT}
    assert not known.find(SinkKind.ID, "word1of0", "word1of0")
    assert known.size <= 4_000
    monkeypatch.setattr(flow, "MOST_KEPT", 1_000)  # less than the newest alone takes, which is kept all the same
    known.add(PROMPT, " ".join(f"word{each}of9" for each in range(30)))
    assert known.find(SinkKind.ID, "word1of9", "word1of9") == {PROMPT}
    alone = Origins()
    alone.add(PROMPT, " ".join(f"word{each}of9" for each in range(30)))
    assert alone.find(SinkKind.ID, "word1of9", "word1of9") == {PROMPT}
