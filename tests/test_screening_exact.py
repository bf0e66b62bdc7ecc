"""The exact search: every encoding of a known secret, in outputs and in arguments, and pieces of it in a row."""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from gateway.clock import SystemClock
from gateway.core.model import Act, Finding, Grade, Reason, Release
from gateway.core.own import HONEYTOKEN
from gateway.core.secrets import Span
from gateway.screening.exact import LARGEST, MOST_PASSING, VIEWED, KnownSecrets
from gateway.screening.screener import Screener
from gateway.screening.tails import EDGE, LONGEST, MOST, PLACES, TAIL
from tests.made import token

KEY = b"k" * 32
OWN = f"{token(41)}/x+~"


class Engine:
    """A scanner that finds nothing."""

    loaded = True

    async def ready(self) -> None:
        """It is loaded."""

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        return []


def make(*secrets: str, kind: str = "gateway-secret") -> Screener:
    screener = Screener(Engine(), SystemClock(), KEY)
    for number, secret in enumerate(secrets or (OWN,)):
        screener.know(f"up.TOKEN{number}", secret, kind)
    return screener


def result(*texts: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text} for text in texts], **more}


def shifted(alphabet: Callable[[bytes], bytes], before: str) -> Callable[[str], str]:
    return lambda secret: alphabet(f"{before}{secret}!!".encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "in a header": lambda secret: f"Authorization: Bearer {secret}",
    "in JSON": lambda secret: json.dumps({"k": secret}),
    "in JSON with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "in JSON in JSON": lambda secret: json.dumps(json.dumps({"k": secret})),
    "each character as \\u": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "each character as \\U": lambda secret: "".join(f"\\u{ord(char):04X}" for char in secret),
    "percent codes": lambda secret: quote(secret, safe=""),
    "percent codes of everything": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "percent codes twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64, one before": shifted(base64.b64encode, "a"),
    "base64, two before": shifted(base64.b64encode, "ab"),
    "base64url": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64url, one before": shifted(base64.urlsafe_b64encode, "a"),
    "base64url, two before": shifted(base64.urlsafe_b64encode, "ab"),
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "backwards": lambda secret: secret[::-1],
    "entities": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
    "named entities": lambda secret: html.escape(secret.replace("~", "&")).replace("&amp;", "~"),
}
PACKED: dict[str, Callable[[str], str]] = {
    "base64 twice": lambda secret: base64.b64encode(base64.b64encode(f"say {secret}".encode())).decode(),
    "gzip in base64": lambda secret: base64.b64encode(gzip.compress(f"say {secret}".encode())).decode(),
    "hex of base64": lambda secret: base64.b64encode(secret.encode()).hex(),
}


@pytest.mark.parametrize("encode", (ENCODINGS | PACKED).values(), ids=(ENCODINGS | PACKED).keys())
async def test_an_output_that_holds_a_known_secret_in_any_encoding_is_withheld(encode: Callable[[str], str]) -> None:
    screened = await make().screen(result(f"x {encode(OWN)} y"), None, SystemClock().monotonic() + 30)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.EXACT_SECRET)
    assert {(one.exact, one.grade, one.act) for one in screened.findings} == {(True, Grade.EXACT, Act.WITHHELD)}


@pytest.mark.parametrize("encode", (ENCODINGS | PACKED).values(), ids=(ENCODINGS | PACKED).keys())
def test_arguments_that_hold_a_known_secret_in_any_encoding_are_told_at_once(encode: Callable[[str], str]) -> None:
    found = make().exact({"a": [1, {"text": f"x {encode(OWN)} y"}]})
    assert {(one.kind, one.exact, one.grade, one.act) for one in found} == {
        ("gateway-secret", True, Grade.EXACT, Act.BLOCKED)
    }
    assert found[0].place == "a[1].text"
    assert make().exact({"a": [1, {"text": f"x {encode(token(42))} y"}]}) == ()


def test_a_known_secret_as_a_key_of_arguments_shows_in_no_place() -> None:
    (found,) = make().exact({OWN: "x"})
    assert (found.act, found.place) == (Act.BLOCKED, "*")


def test_a_known_secret_too_deep_to_be_placed_blocks_all_the_same() -> None:
    value: Any = OWN
    for _ in range(200):
        value = [value]
    (found,) = make().exact({"a": value})
    assert (found.place, found.exact, found.act, len(found.fingerprint)) == ("", True, Act.BLOCKED, 16)
    assert make().exact({"a": [[["x"] * 3] * 3]}) == ()


def test_arguments_too_deep_to_be_viewed_are_searched_as_they_are() -> None:
    value: Any = "x"
    for _ in range(200):
        value = [value]
    assert make().exact({"a": value}) == ()


def test_large_arguments_are_searched_as_they_are_and_their_views_by_the_screening_in_a_thread() -> None:
    padding = "x" * VIEWED
    assert [one.place for one in make().exact({"a": padding, "b": OWN})] == ["b"]
    assert make().exact({"a": padding, "b": quote(quote(OWN, safe=""), safe="")}) == ()
    assert LARGEST > VIEWED


def test_a_value_without_canonical_bytes_is_searched_too() -> None:
    assert [one.place for one in make().exact({"a": {"b": f"{OWN}\ud800"}, "c": float("nan")})] == ["a.b"]


def test_nothing_known_finds_nothing() -> None:
    screener = Screener(Engine(), SystemClock(), KEY)
    assert screener.exact({"a": OWN}) == ()
    assert screener.completes("s", "up", result(OWN)) == ()
    assert screener.name_of("0" * 16) == ""


def test_a_finding_tells_by_its_fingerprint_which_secret_it_is() -> None:
    screener = make(OWN, token(43))
    (found,) = screener.exact({"a": token(43)})
    assert screener.name_of(found.fingerprint) == "up.TOKEN1"
    assert screener.name_of("0" * 16) == ""


def test_a_honeytoken_is_of_its_own_kind() -> None:
    (found,) = make(kind=HONEYTOKEN).exact({"a": OWN})
    assert (found.kind, found.exact) == (HONEYTOKEN, True)


async def test_a_token_of_a_client_is_known_by_its_hash_and_another_of_that_shape_is_not() -> None:
    ours, other = ("wgc_" + token(number).ljust(43, "x")[:43] for number in (44, 45))
    hashes = {hashlib.sha256(ours.encode()).hexdigest()}
    screener = Screener(Engine(), SystemClock(), KEY)
    screener.recognise(lambda text: hashlib.sha256(text.encode()).hexdigest() in hashes)
    assert [one.kind for one in screener.exact({"a": f"use {ours}, please"})] == ["gateway-secret"]
    assert screener.exact({"a": f"use {other}, please"}) == ()
    held = await screener.screen(result(f"use {ours}"), None, SystemClock().monotonic() + 30)
    assert held.reason is Reason.EXACT_SECRET


def test_of_secrets_that_are_made_again_and_again_the_latest_are_known() -> None:
    known = KnownSecrets()
    known.know("up.TOKEN", OWN)
    made = [f"{token(100 + number)}" for number in range(MOST_PASSING + 2)]
    for secret in made:
        known.know_for_now("console", secret)
    assert len(known) == MOST_PASSING + 1
    assert [bool(known.find(secret.encode())) for secret in (OWN, *made[:3], made[-1])] == [
        True,
        False,
        False,
        True,
        True,
    ]


def test_an_occurrence_backwards_covers_the_secret_and_no_more() -> None:
    known = KnownSecrets()
    known.know("up.TOKEN", OWN)
    ((start, end),) = {(span.start, span.end) for span in known.find(f"ab {OWN[::-1]} c".encode())}
    assert (start, end) == (3, 3 + len(OWN))


# what is read in pieces


def taken(screener: Screener, *texts: str, session: str = "s", upstream: str = "up") -> list[tuple[Finding, ...]]:
    return [screener.completes(session, upstream, result(text)) for text in texts]


@pytest.mark.parametrize("cut", [1, 7, 20, len(OWN) - 1])
def test_a_secret_in_two_pieces_is_found_with_the_second(cut: int) -> None:
    first, second = taken(make(), f"some lines before it {OWN[:cut]}", f"{OWN[cut:]} and after")
    assert first == ()
    (found,) = second
    assert (found.kind, found.place, found.exact, found.grade, found.act) == (
        "gateway-secret",
        "content.text",
        True,
        Grade.EXACT,
        Act.WITHHELD,
    )


def test_a_secret_that_is_read_character_by_character_is_found_with_the_last() -> None:
    found = taken(make(), *OWN)
    assert [bool(each) for each in found] == [False] * (len(OWN) - 1) + [True]


def test_what_was_withheld_is_not_remembered_as_read() -> None:
    screener = make()
    taken(screener, OWN[:10])
    assert [bool(each) for each in taken(screener, OWN[10:], OWN[10:20], OWN[20:])] == [True, False, True]


def test_line_ends_between_the_pieces_hide_nothing() -> None:
    assert taken(make(), f"{OWN[:9]}\n", f"\n{OWN[9:]}\n")[1]


def test_pieces_in_structured_content_and_in_json_texts_are_found() -> None:
    screener = make()
    for number, value in enumerate(
        [
            lambda part: {"structuredContent": {"offset": 1, "data": part}},
            lambda part: {"structuredContent": {"rows": [{"data": part}]}},
            lambda part: result(json.dumps({"data": part, "offset": 1})),
            lambda part: result(json.dumps([part])),
            lambda part: {"contents": [{"uri": "file:///a", "text": part}]},
            lambda part: {"messages": [{"role": "user", "content": {"type": "text", "text": part}}]},
        ]
    ):
        assert screener.completes(f"s{number}", "up", value(OWN[:11])) == ()
        assert screener.completes(f"s{number}", "up", value(OWN[11:])), number


def test_pieces_of_other_sessions_upstreams_and_texts_are_not_put_together() -> None:
    screener = make()
    taken(screener, OWN[:11])
    assert taken(screener, OWN[11:], session="other") == [()]
    assert taken(screener, OWN[11:], upstream="other") == [()]
    assert screener.completes("s", "up", {"structuredContent": {"data": OWN[11:]}}) == ()


def test_an_encoded_secret_in_pieces_is_found_too() -> None:
    encoded = OWN.encode().hex()
    assert taken(make(), encoded[:30], encoded[30:])[1]


def test_a_tail_holds_a_longer_secret_than_64_bytes_up_to_its_limit() -> None:
    long = "".join(token(number) for number in range(50, 56))
    assert len(long) - 5 > TAIL
    assert taken(make(long), long[:-5], long[-5:])[1]
    screener = make("".join(token(number) for number in range(60, 160)))
    taken(screener, "x" * 100_000)
    (kept,) = screener._tails._read.values()  # the bound is on what is kept
    assert {len(text) for text in kept.values()} == {LONGEST}


def test_the_tails_are_bounded_in_sessions_places_and_lists() -> None:
    screener = make()
    for number in range(MOST + 5):
        screener.completes(f"s{number}", "up", result("x"))
    screener.completes("s", "up", {"structuredContent": {f"k{number}": "x" for number in range(EDGE)}})
    read = screener._tails._read
    assert (len(read), ("s0", "up") in read, repr(screener._tails)) == (
        MOST,
        False,
        f"Tails({MOST} sessions and upstreams)",
    )
    assert len(read["s", "up"]) == PLACES
    rows = [{"line": "x"} for _ in range(5 * EDGE)]
    screener.completes("t", "up", {"structuredContent": {"rows": [*rows, {"line": OWN[:8]}]}})
    assert screener.completes("t", "up", {"structuredContent": {"rows": [{"line": OWN[8:]}, *rows]}})


def test_a_text_that_only_looks_like_json_and_what_is_nested_deep_are_no_matter() -> None:
    deep: Any = OWN[11:]
    for _ in range(50):
        deep = {"a": deep}
    screener = make()
    assert taken(screener, "{not json", "[" * 5_000, f"{OWN[:11]}") == [(), (), ()]
    assert screener.completes("s", "up", {"structuredContent": deep}) == ()
    assert screener.completes("s", "up", {"structuredContent": None, "n": 3}) == ()
