"""What the scanner finds and what it leaves alone, as the docs say it: a bounded selection of the evaluation."""

import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import anyio
import pytest

from gateway.core.model import Release
from gateway.screening.screener import Screener
from tests.evaluation.clean import Output, outputs
from tests.evaluation.kinds import KINDS, Kind
from tests.evaluation.measure import PATIENCE, pieces, recall, screener, strings, touched
from tests.evaluation.places import ENCODED, PLACES, PLAIN, said, structured
from tests.made import token

SEEDS = range(2)
CLEAN = 2_400  # outputs of the clean set
VENDORS = tuple(kind for kind in KINDS if kind.vendor)
GENERIC = tuple(kind for kind in KINDS if not kind.vendor)
PLAIN_RECALL, ENCODED_RECALL = 0.98, 0.95
AT_REDACT, AT_FLAG = 0.0025, 0.01


@pytest.fixture(scope="module")
def how(rules_cache: Path) -> Screener:
    """The screener with the real engine, loaded once."""
    return screener(rules_cache)


@pytest.fixture(scope="module")
def clean() -> Sequence[Output]:
    """The clean outputs; to read thousands of files where no event loop watches takes a fraction of the time."""
    return tuple(outputs(CLEAN))


def test_the_evaluation_is_as_wide_as_it_says() -> None:
    assert len(VENDORS) >= 30
    assert len(PLACES) >= 25
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_fake_is_the_same_for_the_same_seed_and_another_for_another(kind: Kind) -> None:
    assert kind.fake(1) == kind.fake(1)
    assert kind.fake(1).secrets != kind.fake(2).secrets
    fake = kind.fake(1)
    assert all(len(secret) >= 8 for secret in fake.secrets)
    assert all(
        secret in fake.value or secret in fake.value.encode().decode("unicode_escape") for secret in fake.secrets
    )
    assert not any(secret in repr(fake) for secret in fake.secrets)


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_seen_in_what_is_played(place: str) -> None:
    for kind in KINDS:
        played = PLACES[place](kind.fake(0), Random(0))
        left = "\n".join(strings(played.result))
        assert all(piece in left for needle in played.needles for piece in pieces(needle)), kind.name


async def test_vendor_kinds_are_found_where_they_stand_plainly(how: Screener) -> None:
    told = await recall(how, VENDORS, PLAIN, SEEDS)
    names = [kind.name for kind in VENDORS]
    assert told.share(names, PLAIN) >= PLAIN_RECALL
    assert [name for name in names if told.share([name], PLAIN) < 0.75] == []


async def test_vendor_kinds_are_found_in_their_encodings(how: Screener) -> None:
    told = await recall(how, VENDORS, ENCODED, SEEDS)
    names = [kind.name for kind in VENDORS]
    assert told.share(names, ENCODED) >= ENCODED_RECALL
    assert [place for place in ENCODED if told.share(names, [place]) < ENCODED_RECALL] == []


async def test_generic_assignments_are_found(how: Screener) -> None:
    told = await recall(how, GENERIC, PLAIN, SEEDS)
    assert told.share([kind.name for kind in GENERIC], PLAIN) >= 0.9


async def test_clean_outputs_are_left_alone(how: Screener, clean: Sequence[Output]) -> None:
    told = await touched(how, clean)
    assert told.outputs >= CLEAN * 0.9
    assert told.at_redact <= AT_REDACT, told.where
    assert told.at_flag <= AT_FLAG, told.where


def nested(depth: int) -> object:
    """A list in a list, and so on."""
    value: object = token()
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = {
    "a line of 10 MB": "a" * 10_000_000,
    "1 MB of key headers": "-----BEGIN RSA PRIVATE KEY-----\n" * 32_000,
    "NULs": f"\0\0{token()}\0" * 3,
    "lone surrogates": f"\ud800{token()}\udfff \udc00",
    "a mark of UTF-16": f"\ufffe{token()}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_texts_are_screened_or_withheld_in_time(how: Screener, text: str) -> None:
    with anyio.fail_after(2 * PATIENCE):
        screened = await how.screen(said(text), None, time.monotonic() + PATIENCE)
    assert screened.value is None or token() not in "\n".join(strings(screened.value))


async def test_what_is_100_000_levels_deep_is_withheld(how: Screener) -> None:
    screened = await how.screen(structured(nested(100_000)), None, time.monotonic() + PATIENCE)
    assert screened.release is Release.WITHHELD
