"""Values that were made to get a secret past the screening, or to keep it busy for good.

What takes the square of its size, or a power of two, hangs where it isn't bounded: no time is measured here.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from gateway.core.leaks import MOST_FOLLOWED, sights
from gateway.core.mirror import WIDER, mirrored
from gateway.core.model import Act, Finding, Grade, Kind, OutputLabel, Record
from gateway.core.render import LimitError, render
from gateway.core.screen import Screening, screen
from gateway.core.secrets import Span
from gateway.core.tiers import judged
from gateway.core.views import look
from tests.made import token

ONE, OTHER = token(51).encode(), token(52).encode()
LIMIT = 16 * 1024


def find(data: bytes) -> list[Span]:
    """One occurrence of each of the two secrets."""
    places = ((data.find(secret), secret) for secret in (ONE, OTHER))
    return [Span(at, at + len(secret), "github-pat", secret) for at, secret in places if at >= 0]


def fingerprint(secret: bytes) -> str:
    return "one" if secret == ONE else "other"


@pytest.mark.parametrize("text", [ONE + b" and " + OTHER, OTHER + b" and " + ONE])
def test_what_a_person_allowed_takes_no_other_secret_of_its_run_with_it(text: bytes) -> None:
    judge = partial(judged, OutputLabel(), lambda seen: seen == "one")
    how = Screening(partial(look, find=find), fingerprint, judge=judge)
    cleaned = screen({"text": base64.b64encode(text).decode()}, how, LIMIT)
    assert cleaned.value == {"text": "[REDACTED:github-pat:1]"}
    assert [(one.fingerprint, one.act) for one in cleaned.findings] == [("other", Act.REDACTED)]


def test_what_lies_within_what_a_person_allowed_passes_with_it() -> None:
    def parts(data: bytes) -> list[Span]:
        return [span for one in find(data) for span in (one, Span(one.start + 8, one.end, "x-token", one.secret[8:]))]

    judge = partial(judged, OutputLabel(), lambda seen: seen == "one")
    value = {"text": ONE.decode()}
    assert screen(value, Screening(parts, fingerprint, judge=judge), LIMIT).value is value


def test_gzip_with_a_wrong_checksum_hides_nothing() -> None:
    packed = gzip.compress(b"token: " + ONE + b"\n")
    damaged = packed[:-8] + b"\0\0\0\0" + packed[-4:]
    assert [span.secret for span in look(b"x: " + base64.b64encode(damaged) + b"\n", find)] == [ONE]
    long = gzip.compress(bytes(range(256)) * 64 + ONE + bytes(reversed(range(256))) * 64, compresslevel=0)
    text = base64.b64encode(long[:-20] + b"\0" * 20)
    assert [span.secret for span in look(text, find)] == [ONE]
    assert look(base64.b64encode(b"\x1f\x8b\x08" + b"no gzip at all, only its sign"), find) == []


def test_blanks_behind_what_is_called_an_image_are_read_once() -> None:
    value = {"content": [{"type": "image", "data": "A" * 64 + " " * 1_000_000 + "!"}]}
    with pytest.raises(LimitError):
        render(value, media=False, limit=LIMIT)


class Counted(dict[str, Any]):
    """An object that counts how often all of it is walked through."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


def test_an_object_is_not_walked_through_for_each_of_its_keys() -> None:
    items = Counted(dict.fromkeys(("value", "Value", "vAlue", "valUe", "data", "Data", "dAta", "raw"), "x1"))
    render({"structuredContent": items}, media=False, limit=LIMIT)
    assert items.walks == 0
    told = render({"structuredContent": {**items, "name": "key" * 1_000_000}}, media=False, limit=LIMIT * 1024)
    assert b"\nvalue = " in told.data  # what is as long as that is no name


def test_a_text_that_begins_with_a_wide_indent_is_no_way_to_fill_the_memory() -> None:
    def nested(leaf: str) -> Any:
        value: Any = [leaf] * 2000
        for _ in range(40):
            value = [value]
        return value

    text = json.dumps(nested("old")).replace("[", "[\n" + " " * 4000, 1)
    before = {"content": [{"type": "text", "text": text}], "structuredContent": {"a": nested("old")}}
    said = mirrored(before, {**before, "structuredContent": {"a": nested("[R]")}})["content"][0]["text"]
    assert json.loads(said) == nested("[R]")
    assert len(said) < WIDER * len(text)


def test_a_secret_that_stands_everywhere_is_too_much_to_be_redacted() -> None:
    with pytest.raises(LimitError):
        screen({"text": (ONE + b" ").decode() * 300}, Screening(find, fingerprint), LIMIT * 1024, most=100)


def test_no_number_of_others_keeps_a_secret_of_our_own_from_being_followed() -> None:
    others = tuple(Finding("github-pat", "a", f"{number:016x}") for number in range(MOST_FOLLOWED))
    own = Finding("gateway-secret", "b", "f" * 16, exact=True)
    told = sights(Record(Kind.OUTCOME, "d_1", datetime(2026, 1, 1, tzinfo=UTC), findings=(*others, own)))
    assert len(told) == MOST_FOLLOWED
    assert told[0].grade is Grade.EXACT
