"""What the rules find is judged: placeholders, words, paths and checksums are no secrets, what chance made is one."""

import random

import pytest

from gateway.core.plausible import KEY, LONGEST, key_before, kind_of, stands_in, surest
from gateway.core.secrets import Span
from tests.made import ALNUM, pick

HEX = "0123456789abcdef"


def chance(seed: int, count: int, alphabet: str = ALNUM) -> bytes:
    return pick(random.Random(seed), count, alphabet).encode()


KEYS = {
    "assignment": (b"x = 1\napi_key = ", b"api_key"),
    "quoted": (b"{'stripe_secret': '", b"stripe_secret"),
    "index": (b"env['okta_token'] = \"", b"okta_token"),
    "escaped JSON": (b'{\\"okta_token\\": \\"', b"okta_token"),
    "annotated": (b'twilio_auth: str = "', b"twilio_auth"),
    "markup": (b"<b>okta_token</b>: <code>", b"okta_token"),
    "name and value": (b'name = "OKTA_TOKEN"\nvalue\nvalue = "', b"OKTA_TOKEN"),
    "pair in JSON": (b'"name": "OKTA_TOKEN", "value": "', b"OKTA_TOKEN"),
    "words": (b"Datadog API key: ", b"Datadog API key"),
    "another line": (b"since Monday.\npassword=", b"password"),
    "markup in markup": (b"okta_token<a><b><i><u><s>", b"a"),
    "nothing": (b"", b""),
    "marks": (b"((( ", b""),
}


@pytest.mark.parametrize(("before", "key"), KEYS.values(), ids=KEYS.keys())
def test_the_key_of_a_value_is_what_stands_before_it(before: bytes, key: bytes) -> None:
    assert key_before(before) == key


STAND_INS = (
    *(
        "password",
        "passwd",
        "changeme",
        "change-me",
        "my-api-key",
        "your_token_here",
        "AuthToken",
        "ApiSecret",
        "xxxxxxxx",
    ),
    *("mySendingPassword", "test1234", "${TOKEN}", "<password>", "{{secret}}", "%PASSWORD%", "aaaaaaaaaaaa", "secret!"),
    *("AccessToken2", "root", "noreply", "client_secret", "MasterKey"),
)


@pytest.mark.parametrize("text", STAND_INS)
def test_what_stands_in_for_a_secret_is_none(text: str) -> None:
    assert stands_in(text)
    for kind in ("generic-secret", "generic-password", "generic-password-option", "url-password", "bearer-token"):
        assert kind_of(kind, b"password = ", text.encode()) == ""


@pytest.mark.parametrize("text", ["hunter42", "Tr0ub4dor", "correcthorsebattery", "s3cr3tpw9x"])
def test_what_a_person_may_have_chosen_stands_in_for_nothing(text: str) -> None:
    assert not stands_in(text)
    assert kind_of("url-password", b"postgres://app:", text.encode()) == "url-password"


def test_a_long_value_is_never_taken_for_a_placeholder() -> None:
    assert stands_in("x" * LONGEST)
    assert not stands_in("x" * (LONGEST + 1))


NO_SECRETS = {
    "a name": b"get_access_token_from_2nd_cache_v2",
    "a class": b"ed25519.Ed25519PrivateKey",
    "a path": b"/var/lib/app1/keys/2024",
    "a relative path": b"./keys/2024/server01",
    "an address": b"https://example.org/x1y2",
    "a date": b"2026-11-22T14:00:00Z",
    "a reference": b"prefix-${TOKEN_12_34}-end",
    "a run": b"a1b2c3000000000d4e5f",
    "letters of one case": b"qwertzuiopasdfghjklyx",
    "words": b"FromEmail/ToEmail1/ToEmail2/ToEmailN/",
    "digits": b"1234567890129384756",
    "few characters": b"a1a1a1b1b1b1a1b1a1b1",
    "short and mixed": b"aBcDeFgHiJkL",
}


@pytest.mark.parametrize("secret", NO_SECRETS.values(), ids=NO_SECRETS.keys())
def test_words_paths_dates_and_runs_under_a_telling_key_are_no_secrets(secret: bytes) -> None:
    assert kind_of("generic-secret", b"api_key = ", secret) == ""


@pytest.mark.parametrize("alphabet", [ALNUM, HEX, ALNUM[26:], ALNUM[:52]], ids=["all", "hex", "small", "letters"])
def test_what_chance_made_is_a_secret_under_a_telling_key(alphabet: str) -> None:
    found = [kind_of("generic-secret", b"api_key = ", chance(seed, 32, alphabet)) for seed in range(200)]
    assert found.count("generic-secret") >= 190


@pytest.mark.parametrize(
    "key", ["next_page_token", "csrfToken", "cache_key", "token_sha256", "api_key_hash", "publicKey"]
)
def test_pages_and_checksums_are_no_secrets(key: str) -> None:
    assert kind_of("generic-secret", f"{key} = '".encode(), chance(1, 32)) == ""


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("TWILIO_AUTH_TOKEN", "twilio-credential"),
        ("new_relic_key", "newrelic-credential"),
        ("myStripeKey", "stripe-credential"),
    ],
)
def test_the_vendor_in_a_key_gives_the_kind_its_name(key: str, kind: str) -> None:
    assert kind_of("generic-secret", f"{key}=".encode(), chance(2, 32)) == kind


def test_only_the_key_itself_names_the_vendor() -> None:
    assert kind_of("generic-secret", b"twilio is used.\nauth_token=", chance(2, 32)) == "generic-secret"
    assert kind_of("generic-secret", b"jaws_token=", chance(2, 32)) == "generic-secret"
    assert kind_of("generic-secret", b"twilio_token" + b" " * KEY + b"=", chance(2, 32)) == "generic-secret"


PASSWORDS = {"three classes": (b"Summer42", True), "marks": (b"kx-9!ab", True), "long": (b"k7x2m9q4w8z1", True)}
WORDS = {"two classes": (b"kx9kx9kx", False), "a word": (b"config2", False), "a path": (b"./a/b9/C", False)}


@pytest.mark.parametrize(("secret", "is_one"), [*PASSWORDS.values(), *WORDS.values()], ids=[*PASSWORDS, *WORDS])
@pytest.mark.parametrize("kind", ["generic-password", "generic-password-option"])
def test_a_password_is_more_than_a_word(kind: str, secret: bytes, is_one: bool) -> None:
    assert kind_of(kind, b"password = ", secret) == (kind if is_one else "")


def test_a_header_holds_no_words() -> None:
    assert kind_of("bearer-token", b"Authorization: Bearer ", b"your.application.credentials") == ""
    assert kind_of("bearer", b"Authorization: Bearer ", chance(3, 40)) == "bearer-token"


def test_forty_characters_under_a_checksum_are_no_key_of_aws() -> None:
    assert kind_of("aws-secret-access-key", b"token.py,sha256=", chance(4, 40)) == ""
    assert kind_of("aws-secret-access-key", b"aws_secret_access_key = ", chance(4, 40)) == "aws-secret-access-key"


def test_runs_are_never_part_of_tokens_that_chance_made() -> None:
    assert kind_of("github-pat", b"", b"gh" + b"p_Personal" + b"0" * 20) == ""
    assert kind_of("github-pat", b"", b"gh" + b"p_" + chance(5, 36)) == "github-pat"
    assert kind_of("prefixed-token", b"", b"pu" + b"l-" + b"0" * 40) == ""
    assert kind_of("private-key", b"", b"A" * 40) == "private-key"


def span(start: int, end: int, kind: str) -> Span:
    return Span(start, end, kind, b"secret")


def test_the_surer_of_two_findings_of_one_place_stays() -> None:
    sure, weak = span(10, 50, "github-pat"), span(10, 50, "generic-secret")
    assert surest([weak, sure]) == [sure]
    assert surest([weak]) == [weak]
    assert surest([sure, sure]) == [sure, sure]
    assert surest([sure, span(12, 40, "twilio-credential"), span(60, 90, "generic-secret")]) == [
        sure,
        span(60, 90, "generic-secret"),
    ]


def test_what_reaches_beyond_a_surer_finding_takes_its_kind() -> None:
    sure = span(10, 50, "github-pat")
    assert surest([sure, span(5, 55, "generic-password")]) == [sure, span(5, 55, "github-pat")]
    assert surest([sure, span(60, 70, "jwt"), span(40, 55, "generic-password")])[-1] == span(40, 55, "github-pat")


@pytest.mark.parametrize("piece", ["password", "a1", "Aa", "Aa1", "/a", "x", "${", "a:", "-", "value=", "key: "])
@pytest.mark.timeout(60)  # what backtracks without end takes years
def test_no_value_takes_long_to_judge(piece: str) -> None:
    text = (piece * 200)[:200].encode() + b"~"
    for kind in ("generic-secret", "generic-password", "bearer-token"):
        for size in range(1, 200, 10):
            kind_of(kind, text, text[:size] + b"~")
