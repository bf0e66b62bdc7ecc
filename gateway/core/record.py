"""How a record is written and read: `Record` <-> the exact bytes that are hashed and stored.

Pure: the sequence number is given by the store, the text of a body is never made anew to check it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec

from gateway.core.canon import canonical
from gateway.core.model import Record

COLUMNS = (
    "kind",
    "id",
    "at",
    "principal",
    "client",
    "session",
    "upstream",
    "tool",
    "tier",
    "verdict",
    "reason",
    "outcome",
    "approval",
)
"""The parts of a body of which the store keeps copies to search by."""

_copied = attrgetter(*COLUMNS[3:])
_NONE = timedelta(0)


class _Place(msgspec.Struct):
    """Where a body stands."""

    seq: int


_PLACES, _RECORDS = msgspec.json.Decoder(_Place), msgspec.json.Decoder(Record)


def stamp(at: datetime) -> str:
    """A time as records write it: RFC 3339, UTC, always with microseconds, so that text order is time order."""
    if (offset := at.utcoffset()) is None:
        raise ValueError("a time without its zone can't be recorded")
    plain = at if offset == _NONE else at.astimezone(UTC)
    return plain.isoformat(timespec="microseconds")[:-6] + "Z"


def unstamp(text: str) -> datetime:
    """The time that `stamp` wrote."""
    return datetime.fromisoformat(text)


def encode(record: Record) -> bytes:
    """The body of a record without its sequence number: canonical JSON, empty fields left out.

    Raises `ValueError` for what JSON can't carry.
    """
    at = stamp(record.at)
    if record.at.microsecond and record.at.utcoffset() == _NONE:
        return canonical(record)
    # INVARIANT: a body holds its time exactly as `stamp` writes it, with microseconds even where they are zero.
    try:
        return canonical({**msgspec.to_builtins(record), "at": at})
    except TypeError as problem:
        raise ValueError(f"a record that is no JSON: {problem}") from None


def seal(seq: int, encoded: bytes) -> bytes:
    """Put the sequence number in front: these are the bytes that are hashed and stored."""
    return b'{"seq":%d,' % seq + encoded[1:]


def columns(record: Record) -> tuple[str, ...]:
    """The copies that the store searches by, in the order of `COLUMNS`."""
    return (record.kind.value, record.id, stamp(record.at), *_copied(record))


def read_body(body: bytes) -> Mapping[str, Any]:
    """The members of a stored body; raises `ValueError` if it is no JSON object."""
    try:
        members = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"a body that is no JSON: {type(problem).__name__}") from None
    if not isinstance(members, dict):
        raise ValueError("a body that is no JSON object")  # noqa: TRY004 - the bytes are wrong, not a type of ours
    return members


def decode(body: bytes) -> tuple[int, Record]:
    """The sequence number and the record of a stored body; raises `ValueError` if it is none."""
    try:
        return _PLACES.decode(body).seq, _RECORDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as problem:
        raise ValueError(f"a body that is no record: {type(problem).__name__}") from None
