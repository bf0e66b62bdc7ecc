"""Pathological values and the real scanner: each ends before its deadline, with a clear outcome."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.core.model import Reason, Release
from gateway.screening.engine import Kingfisher
from gateway.screening.screener import LIMIT, Screener
from gateway.screening.windows import OVERLAP, WHOLE
from tests.made import token

PATIENCE = 20.0  # seconds until the deadline of each; what outruns it hangs for good
HEADER = "-----BEGIN RSA PRIVATE KEY-----\n"
DEEP = 100_000


@pytest.fixture(scope="module")
def engine(rules_cache: Path) -> Kingfisher:
    loaded = Kingfisher(rules_cache)
    loaded.build()
    return loaded


def text(said: str) -> Mapping[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def nested() -> Mapping[str, Any]:
    value: Any = "x"
    for _ in range(DEEP):
        value = [value]
    return {"structuredContent": {"a": value}, "content": []}


VALUES: dict[str, tuple[Callable[[], Mapping[str, Any]], tuple[str, ...]]] = {
    "a line of 10 MB": (lambda: text("x1y2" * 2_621_440), ("",)),
    "a line of 10 MB of base64": (lambda: text("QUJD" * 2_621_440), ("",)),
    "a line of 10 MB of percent signs": (lambda: text("%41" * 3_495_253), ("", "limit")),
    "100,000 deep": (nested, ("limit",)),
    "100,000 deep as text": (lambda: text("[" * DEEP + "]" * DEEP), ("",)),
    "1 MB of private-key headers": (lambda: text(HEADER * (1_048_576 // len(HEADER))), ("", "limit", "failed")),
    "1 MB of private-key headers in one line": (lambda: text(HEADER.strip() * 33_000), ("", "limit", "failed")),
    "NULs": (lambda: text("\0" * 1_000_000), ("",)),
    "NULs in a key": (lambda: {"structuredContent": {"\0" * 10_000: "\0" * 10_000}, "content": []}, ("",)),
    "lone surrogates": (lambda: text("\ud800" * 100_000), ("failed",)),
    "no number": (lambda: {"structuredContent": {"x": math.inf}, "content": []}, ("failed",)),
    "over the limit": (lambda: text("x" * (LIMIT + 1)), ("limit",)),
    "100,000 keys": (lambda: {"structuredContent": {f"k{n}": "v" for n in range(DEEP)}, "content": []}, ("",)),
    "100,000 blocks": (lambda: {"content": [{"type": "text", "text": "x"}] * DEEP}, ("",)),
}


@pytest.mark.parametrize(("make", "outcomes"), VALUES.values(), ids=VALUES.keys())
async def test_pathological_values_end_before_the_deadline(
    engine: Kingfisher, make: Callable[[], Mapping[str, Any]], outcomes: tuple[str, ...]
) -> None:
    clock = SystemClock()
    with anyio.fail_after(2 * PATIENCE):
        screened = await Screener(engine, clock, b"k" * 32).screen(make(), None, clock.monotonic() + PATIENCE)
    assert screened.unscanned in outcomes
    assert (screened.value is None) is (screened.release is Release.WITHHELD)
    if screened.unscanned:
        assert (screened.release, screened.reason) == (Release.WITHHELD, Reason.SCANNER_FAILED)
    else:
        assert screened.release is not Release.WITHHELD


@pytest.mark.parametrize("at", [WHOLE - 20, WHOLE - OVERLAP - 20, LIMIT - 1_000])
async def test_a_secret_at_the_edge_of_a_window_is_redacted(engine: Kingfisher, at: int) -> None:
    secret, clock = token(7), SystemClock()
    line = "a line of a log that says nothing\n"
    said = line * (at // len(line)) + f"\ntoken {secret}\n"
    said += line * max(0, (WHOLE + OVERLAP - len(said)) // len(line))
    value = {"content": [{"type": "text", "text": said}]}
    screened = await Screener(engine, clock, b"k" * 32).screen(value, None, clock.monotonic() + PATIENCE)
    assert screened.release is Release.REDACTED
    assert secret not in json.dumps(screened.value)
