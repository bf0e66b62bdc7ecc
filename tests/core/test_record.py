"""A record's body: written once, read back whole, refused when it is none."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Finding, Kind, Record
from gateway.core.record import COLUMNS, columns, decode, encode, read_body, seal, stamp, unstamp
from tests.fakes import NOON, a_record

texts = st.text(st.characters(codec="utf-8"), max_size=20)
records = st.builds(
    Record,
    kind=st.sampled_from(Kind),
    id=texts,
    at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone stands beside it
    principal=texts,
    session=texts,
    tool=texts,
    reason=texts,
    outcome=texts,
    approval=texts,
    detail=texts,
    rules=st.lists(texts, max_size=3).map(tuple),
    findings=st.lists(st.builds(Finding, texts, texts, texts, st.booleans()), max_size=2).map(tuple),
    arguments=st.none() | st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3),
    timings_us=st.dictionaries(texts, st.integers(0, 10**9), max_size=3),
    extra=st.dictionaries(texts, texts, max_size=2),
)


@given(records, st.integers(1, 2**62))
def test_what_was_written_is_read_back_whole(record: Record, seq: int) -> None:
    body = seal(seq, encode(record))
    assert decode(body) == (seq, record)
    assert tuple(msgspec.json.decode(body).get(name, "") for name in COLUMNS) == columns(record)


def test_empty_fields_are_left_out() -> None:
    body = encode(Record(Kind.STOP, "l_1", NOON))
    assert body == b'{"at":"2026-11-22T12:00:00.000000Z","id":"l_1","kind":"stop"}'


def test_times_are_utc_with_microseconds() -> None:
    here = NOON.astimezone(timezone(timedelta(hours=2)))
    assert stamp(here) == stamp(NOON) == "2026-11-22T12:00:00.000000Z"
    assert unstamp(stamp(here)) == NOON


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueError):
        stamp(NOON.replace(tzinfo=None))


def test_a_value_that_json_can_not_carry_is_refused() -> None:
    with pytest.raises(ValueError):
        encode(a_record(arguments={"text": "\ud800"}))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b"{}", b'{"seq":1,"kind":"other","id":"d","at":"2026-11-22T12:00:00Z"}'],
    ids=["empty", "list", "cut", "no-utf8", "nothing", "unknown-kind"],
)
def test_bytes_that_are_no_record_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode(body)


def test_only_an_object_is_a_body() -> None:
    with pytest.raises(ValueError):
        read_body(b"[1]")


@pytest.mark.parametrize("microseconds", [0, 1, 999_999], ids=["none", "one", "most"])
def test_a_body_holds_its_time_as_the_index_does(microseconds: int) -> None:
    record = Record(Kind.STOP, "l_1", NOON.replace(microsecond=microseconds), arguments={"at": "2026-11-22T12:00:00Z"})
    assert msgspec.json.decode(encode(record))["at"] == columns(record)[2]


@pytest.mark.parametrize("microseconds", [0, 1], ids=["none", "one"])
def test_an_object_that_is_no_json_is_refused(microseconds: int) -> None:
    with pytest.raises(ValueError):
        encode(Record(Kind.STOP, "l_1", NOON.replace(microsecond=microseconds), extra={"x": object()}))
