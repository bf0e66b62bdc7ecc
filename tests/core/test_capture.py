"""What a record keeps of arguments and results: by tier, by policy, by size, and never more than was redacted."""

from typing import Any

import pytest

from gateway.core.canon import canonical, keyed_digest
from gateway.core.capture import MOST_LEAVES, Capture, name_digest, without_media
from gateway.core.model import (
    Decision,
    Effect,
    Labels,
    Obligation,
    ObligationKind,
    Reason,
    Release,
    Screened,
    Tier,
    Tool,
    ToolRef,
    Verdict,
)

KEY = b"k" * 32
CAPTURE = Capture(KEY, most=100)


def decision(*kinds: ObligationKind) -> Decision:
    return Decision(Verdict.ALLOW, Reason.RULE, obligations=frozenset(map(Obligation, kinds)))


def tool(tier: Tier) -> Tool:
    return Tool(ToolRef("u", "t"), "u__t", {}, "0" * 64, Effect.READ, tier, Labels())


def screened(recorded: Any) -> Screened:
    return Screened(Release.FULL, recorded, recorded=recorded)


def arguments(value: dict[str, Any], *kinds: ObligationKind, redacted: dict[str, Any] | None = None) -> Any:
    size = len(canonical(value))
    return CAPTURE.arguments(value if redacted is None else redacted, value, size, decision(*kinds))


def test_arguments_are_kept_redacted() -> None:
    assert arguments({"a": "secret"}, redacted={"a": "[R]"}) == {"arguments": {"a": "[R]"}}


def test_arguments_over_the_size_that_is_kept_are_told_by_their_size() -> None:
    fits, over = {"a": "x" * 92}, {"a": "x" * 93}
    assert len(canonical(fits)) == 100
    assert arguments(fits) == {"arguments": fits}
    assert arguments(over) == {"omitted": {"arguments": 101}}


def test_arguments_that_could_not_be_screened_are_not_kept() -> None:
    assert CAPTURE.arguments(None, {"a": "b"}, 9, None) == {"omitted": {"arguments": 9}}


def test_of_a_tool_whose_arguments_are_not_kept_each_value_has_a_digest() -> None:
    value = {"to": ["a@x", True], "n": 5, "none": None}
    kept = arguments(value, ObligationKind.RECORD_DIGEST)["leaves"]
    assert kept == {"to[0]": keyed_digest(KEY, b'"a@x"')[:32], "n": keyed_digest(KEY, b"5")[:32]}


def test_no_place_is_named_where_something_was_redacted() -> None:
    kept = arguments({"secret": "x"}, ObligationKind.RECORD_DIGEST, redacted={"[R]": "x"})["leaves"]
    assert list(kept) == ["#0"]


def test_the_number_of_digests_is_bounded() -> None:
    kept = arguments({"a": list(range(MOST_LEAVES + 1))}, ObligationKind.RECORD_DIGEST)["leaves"]
    assert len(kept) == MOST_LEAVES


@pytest.mark.parametrize(
    ("tier", "kinds", "kept"),
    [
        (Tier.READ, (), False),
        (Tier.READ, (ObligationKind.RECORD_FULL,), True),
        (Tier.WRITE, (), True),
        (Tier.HIGH, (), True),
        (Tier.HIGH, (ObligationKind.RECORD_DIGEST,), False),
    ],
)
def test_results_are_kept_by_tier_and_by_policy(tier: Tier, kinds: tuple[ObligationKind, ...], kept: bool) -> None:
    fields = CAPTURE.result(screened({"a": 1}), tool(tier), decision(*kinds))
    assert fields == ({"result": {"a": 1}} if kept else {})


def test_a_result_over_the_size_that_is_kept_is_told_by_its_size() -> None:
    fits = {"a": "x" * 92}
    assert CAPTURE.result(screened(fits), None, None) == {"result": fits}
    assert CAPTURE.result(screened({"a": "x" * 93}), None, None) == {"omitted": {"result": 101}}


def test_a_result_that_could_not_be_proven_clean_is_not_kept() -> None:
    assert CAPTURE.result(Screened(Release.WITHHELD, None), None, None) == {}


def test_of_images_sound_and_files_the_length_is_kept() -> None:
    value = {
        "content": [
            {"type": "image", "mimeType": "image/png", "data": "QUJD"},
            {"type": "resource", "resource": {"uri": "file:///x", "blob": "QUJDRA=="}},
            {"type": "text", "text": "data"},
        ],
        "structuredContent": {"data": "kept"},
    }
    assert without_media(value) == {
        "content": [
            {"type": "image", "mimeType": "image/png", "data": "[OMITTED: 4 characters]"},
            {"type": "resource", "resource": {"uri": "file:///x", "blob": "[OMITTED: 8 characters]"}},
            {"type": "text", "text": "data"},
        ],
        "structuredContent": {"data": "kept"},
    }


def test_a_name_that_holds_a_secret_is_told_by_a_digest_that_nobody_else_can_make() -> None:
    told = name_digest(KEY, "s3cret")
    assert told == name_digest(KEY, "s3cret")
    assert told not in (name_digest(KEY, "s3cret2"), name_digest(b"other", "s3cret"))
    assert "s3cret" not in told
    assert name_digest(KEY, "\udc00").startswith("[REDACTED:name:")
