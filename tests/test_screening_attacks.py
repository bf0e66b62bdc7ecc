"""Values that were made to get a secret past the screening, or to keep it busy for good.

What takes the square of its size, or a power of two, hangs where it isn't bounded: no time is measured here.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.model import Act, Finding, Kind, Record
from gateway.screening.exact import VIEWED, KnownSecrets
from gateway.screening.schema import problems, stays_valid
from gateway.screening.tails import Tails
from gateway.store.leaks import MOST_LEAKS, MOST_OF_ONE, Ledger
from tests.made import token

ONE = token(51).encode()


def fingerprint(secret: bytes) -> str:
    return "one" if secret == ONE else "other"


def known(secret: str) -> KnownSecrets:
    secrets = KnownSecrets()
    secrets.know("up.TOKEN", secret)
    return secrets


SMALL: Mapping[str, Any] = {
    "in two texts": [{"text": ONE.decode()[:9]}, {"text": ONE.decode()[9:]}],
    "in a blob of UTF-16": {"blob": base64.b64encode(ONE.decode().encode("utf-16-le")).decode()},
}


@pytest.mark.parametrize("value", SMALL.values(), ids=SMALL.keys())
def test_arguments_of_a_read_carry_no_secret_that_only_their_rendering_shows(value: Any) -> None:
    found = known(ONE.decode()).carried({"a": value}, json.dumps({"a": value}).encode(), fingerprint)
    assert found
    assert {one.act for one in found} == {Act.BLOCKED}


def test_a_secret_in_large_arguments_is_placed_without_their_views() -> None:
    value = {"a": ONE.decode(), "b": "foo%41bar " * VIEWED}
    found = known(ONE.decode()).carried(value, json.dumps(value).encode(), fingerprint)
    assert [(one.place, one.act) for one in found] == [("a", Act.BLOCKED)]


def test_one_run_that_says_a_secret_again_and_again_is_told_once() -> None:
    run = base64.b64encode(ONE * 3000)
    assert len(known(ONE.decode()).find(run)) <= 3


def test_a_schema_whose_references_branch_is_given_up() -> None:
    defs: dict[str, Any] = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(40)}
    defs["a40"] = {"type": "object"}
    assert problems({}, {"$defs": defs, "$ref": "#/$defs/a0"}) is None


def test_unique_items_are_told_from_others() -> None:
    schema = {"type": "array", "uniqueItems": True}
    assert stays_valid([{"a": at} for at in range(20_000)], schema)
    assert not stays_valid([{"a": 1}, {"b": 1}, {"a": 1}], schema)
    assert stays_valid([1, 1], {"uniqueItems": False})
    assert stays_valid("aa", {"uniqueItems": True})


def test_a_quarter_of_a_million_short_texts_are_joined_at_once() -> None:
    tails = Tails(known(ONE.decode()))
    deep = [[["abcdefgh" * 4 for _ in range(64)] for _ in range(64)] for _ in range(64)]
    assert tails.completes("s_1", "up", {"structuredContent": {"a": deep}}, fingerprint) == ()
    assert tails.completes("s_1", "up", {"structuredContent": {"a": ONE.decode()[:12]}}, fingerprint) == ()
    found = tails.completes("s_1", "up", {"structuredContent": {"a": ONE.decode()[12:]}}, fingerprint)
    assert [one.place for one in found] == ["structuredContent.a"]


def test_a_ledger_that_was_filled_up_follows_the_secrets_of_the_gateway_still() -> None:
    ledger = Ledger()

    def seen(finding: Finding, upstream: str = "up") -> bool:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return bool(ledger.changes(Record(Kind.OUTCOME, "d_1", at, upstream=upstream, tool="t", findings=(finding,))))

    for number in range(MOST_OF_ONE):
        assert seen(Finding("github-pat", "a", f"{number:016x}"))
    assert not seen(Finding("github-pat", "a", "e" * 16))
    assert seen(Finding("gateway-secret", "a", "f" * 16, exact=True))
    for number in range(MOST_OF_ONE, MOST_LEAKS - 1):
        assert seen(Finding("github-pat", "a", f"{number:016x}"), f"up-{number // MOST_OF_ONE}")
    assert not seen(Finding("github-pat", "a", "e" * 16), "another")
    assert seen(Finding("gateway-secret", "a", "d" * 16, exact=True))
