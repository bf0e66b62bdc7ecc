"""Personal data is found by its published shapes, only where a label asks for it, and nothing passes for want of the
extra.
"""

import base64
import json
import random
import sys
from collections.abc import Callable, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_policy, load_settings
from gateway.core.model import (
    Act,
    Effect,
    Finding,
    Grade,
    Labels,
    OutputLabel,
    PersonalAction,
    Reason,
    Release,
    SecretAction,
    Tier,
    Tool,
    ToolRef,
    Trust,
)
from gateway.core.personal import KINDS, PACKAGES
from gateway.core.secrets import Span
from gateway.errors import ConfigurationError, GatewayError
from gateway.screening.announced import NEAR
from gateway.screening.national import BY_SHAPE, BY_WORD
from gateway.screening.phones import MANY
from gateway.screening.pii import MISSING, OVER, STEP, PersonalData
from gateway.screening.screener import Screener
from tests.made import token
from tests.test_screening import Clock

LOCK = Path(__file__).parent.parent / "requirements-dev.lock"
# Once the lock has the packages their absence fails these tests; until then they run where somebody installed them.
extra = pytest.mark.skipif(
    "python-stdnum==" not in LOCK.read_text(encoding="utf-8") and not all(map(find_spec, PACKAGES)),
    reason="the lock of the development tools does not have the extra `pii`",
)

MAIL = "ada@corp.example"
SECRET = token(7)
KEY, DEADLINE = b"k" * 32, 1005.0
# What the standards themselves, or the authors of `stdnum`, give as examples.
NATIONAL = {
    "it-codice-fiscale": "RCCMNL83S18D969H",
    "mx-curp": "BOXW310820HNERXN09",
    "us-itin": "912-90-3456",
    "us-ssn": "536-90-4399",
    "br-cpf": "390.533.447-05",
    "be-nn": "85.07.30-033.28",
    "ch-ahv": "756.9217.0769.85",
    "fr-nir": "2 95 10 99 126 111 93",
    "kr-rrn": "971013-9019902",
    "cn-ric": "360426199101010071",
    "fi-hetu": "131052-308T",
    "ca-sin": "123-456-782",
    "gb-nhs": "943 476 5870",
    "gb-nino": "AB 12 34 56 C",
    "in-aadhaar": "2341 2341 2346",
    "in-pan": "ACUPA7085R",
    "au-tfn": "123 456 782",
    "de-idnr": "36 574 261 809",
    "nl-bsn": "111222333",
    "pl-pesel": "44051401359",
    "se-personnummer": "890102-3286",
    "dk-cpr": "211062-5629",
    "no-fodselsnummer": "151086 95088",
    "es-dni": "54362315K",
    "es-nie": "X2482300W",
    "ro-cnp": "1630615123457",
    "cz-rc": "710319/2745",
    "tr-tckimlik": "17291716060",
    "za-id": "7503305044089",
    "bg-egn": "7523169263",
    "ee-ik": "36805280109",
    "hr-oib": "33392005961",
    "il-id": "39337423",
    "gr-amka": "01013099997",
    "ie-pps": "6433435F",
    "th-pin": "1-2345-45678-78-1",
    "my-nric": "770305-02-1234",
    "si-emso": "0101006500006",
}
# Numbers whose shape has no check: another digit makes another person's.
UNCHECKED = {"us-ssn", "us-itin", "gb-nino", "my-nric", "in-pan", "dk-cpr"}


def found(text: str) -> list[tuple[str, str]]:
    """What the real search finds, by kind."""
    search = PersonalData()
    search.load()
    data = text.encode()
    spans = search.find(data)
    assert all(data[span.start : span.end] == span.secret for span in spans)
    return [(span.kind, span.secret.decode()) for span in spans]


# --- the search ------------------------------------------------------------------------------------------------------


@extra
@pytest.mark.parametrize(
    ("text", "mail"),
    [
        (f"write to {MAIL}.", MAIL),
        (f'"{MAIL}"', MAIL),
        (f"<mailto:{MAIL}>", MAIL),
        ("a first.last+tag@mail.corp.example b", "first.last+tag@mail.corp.example"),
        ("jürgen@müller.example", "jürgen@müller.example"),
        ("почта@пример.рф", "почта@пример.рф"),
        ("联系ada@corp.example。", MAIL),
        ('{"a": "line\\nada@corp.example"}', MAIL),
        ("ada@xn--mller-kva.example", "ada@xn--mller-kva.example"),
    ],
)
def test_a_mail_address_is_found(text: str, mail: str) -> None:
    assert found(text) == [("email", mail)]


@extra
@pytest.mark.parametrize(
    "text",
    [
        "git clone git@forge.example:team/project.git",
        "https://ada:word@forge.example/x",
        "icon@2x.png",
        "pkg@1.2.3 and @app.route and a @ b and @",
        "ada@localhost",
        "ada@corp",
    ],
)
def test_what_only_looks_like_a_mail_address_is_none(text: str) -> None:
    assert found(text) == []


@extra
@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("+49 30 901820", "+49 30 901820"),
        ("tel:+4930901820", "+4930901820"),
        ("+1 (555) 123-4567", "+1 (555) 123-4567"),
        ("(212) 555-0123", "(212) 555-0123"),
        ("212-555-0123", "212-555-0123"),
        ("1-800-555-0199", "800-555-0199"),
        ("Tel. 030 901820", "030 901820"),
        ('"phoneNumber": "2125550123"', "2125550123"),
        ('phone = "(0)20 7946 0958"', "(0)20 7946 0958"),
        ("手机号 13800138000", "13800138000"),
        ("call 030-901820", "030-901820"),
    ],
)
def test_a_phone_number_is_found(text: str, phone: str) -> None:
    assert found(text) == [("phone", phone)]


@extra
def test_the_numbers_of_a_list_are_found_by_the_word_before_the_first() -> None:
    numbers = ["2125550123", "2125550124", "2125550125"]
    expected = [("phone", number) for number in numbers]
    assert found("phones: " + ", ".join(numbers)) == expected
    assert found(json.dumps({"phones": numbers})) == expected
    assert found(json.dumps({"phones": numbers, "sizes": [1111111111]}, indent=2)) == expected


def card(start: str, length: int) -> str:
    """A number with the right last digit."""
    digits = start.ljust(length - 1, "1")
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


CARDS = [card(start, 16) for start in ("4", "51", "2221", "6011", "3528", "62")] + [card("34", 15), card("36", 14)]


@extra
@pytest.mark.parametrize("number", CARDS)
@pytest.mark.parametrize("text", ["pay with {}, please", '"pan": "{}"', "line\\n{}", "{}"])
def test_a_card_is_found_in_one_piece(number: str, text: str) -> None:
    assert found(text.format(number)) == [("credit-card", number)]


@extra
@pytest.mark.parametrize("gap", [" ", "-"])
def test_a_card_is_found_in_groups(gap: str) -> None:
    number = gap.join(CARDS[0][at : at + 4] for at in range(0, 16, 4))
    assert found(f"card {number} exp 12/26") == [("credit-card", number)]
    amex = gap.join((CARDS[6][:4], CARDS[6][4:10], CARDS[6][10:]))
    assert found(f"card {amex} exp 12/26") == [("credit-card", amex)]


@extra
@pytest.mark.parametrize("number", CARDS)
def test_a_card_with_another_last_digit_is_none(number: str) -> None:
    assert found(f"pay with {number[:-1]}{(int(number[-1]) + 1) % 10}") == []


@extra
@pytest.mark.parametrize(
    ("text", "iban"),
    [
        ("DE89370400440532013000", "DE89370400440532013000"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX", "DE89 3704 0044 0532 0130 00"),
        ('"GB82WEST12345698765432"', "GB82WEST12345698765432"),
        ("NO9386011117947", "NO9386011117947"),
    ],
)
def test_an_iban_is_found(text: str, iban: str) -> None:
    assert found(text) == [("iban", iban)]
    assert found(text.replace(iban, f"{iban[:-1]}{(int(iban[-1]) + 1) % 10}")) == []


def test_every_national_id_has_a_kind_and_an_example() -> None:
    kinds = {one.kind for one in (*BY_SHAPE, *BY_WORD)}
    assert kinds == set(NATIONAL)
    assert kinds | {"email", "phone", "credit-card", "iban"} == KINDS


@extra
@pytest.mark.parametrize("kind", [one.kind for one in BY_SHAPE])
def test_a_national_id_with_a_shape_of_its_own_is_found_by_it(kind: str) -> None:
    assert found(f"see {NATIONAL[kind]}, please") == [(kind, NATIONAL[kind])]


@extra
@pytest.mark.parametrize(("kind", "word"), [(one.kind, word) for one in BY_WORD for word in one.words])
def test_every_other_national_id_is_found_behind_its_words(kind: str, word: str) -> None:
    solid = {"fr-nir": "295109912611193", "ch-ahv": "7569217076985", "br-cpf": "39053344705", "be-nn": "85073003328"}
    number = solid.get(kind, NATIONAL[kind])
    shared = {"se-personnummer", "dk-cpr", "no-fodselsnummer"}  # the same word in three countries
    for text in (f"{word}: {number}", f'{{"{word}": "{number}"}}', f"{word.capitalize()} is {number}"):
        ((seen, value),) = found(text)
        assert value == number
        assert seen == kind or {seen, kind} <= shared


@extra
@pytest.mark.parametrize("kind", sorted(set(NATIONAL) - UNCHECKED))
def test_a_national_id_with_another_digit_is_none(kind: str) -> None:
    words = next((one.words for one in BY_WORD if one.kind == kind), ("",))
    number = NATIONAL[kind]
    at = next(at for at, char in enumerate(number) if char.isdigit() and at > len(number) // 2)
    others = [f"{number[:at]}{digit}{number[at + 1 :]}" for digit in range(10) if str(digit) != number[at]]
    assert sum(bool(found(f"{words[0]} {other}")) for other in others) <= 1  # some have one of two check digits


@extra
@pytest.mark.parametrize(
    "text",
    [
        "version 10.2.3.4567, build 20241015.7, 2024.10.15.20241015",
        "2026-01-15T10:11:12.123456Z and 2026-01-01 12:00:00+0100",
        '{"ts": 1764404582, "created_at": 1764404582123, "nanos": 1764404582123456789}',
        '{"phone": null, "created_at": 1764404582}',
        '{"phone_id": 12345678901, "phoneTimestamp": 1}',
        "phone_verified_at: 1764404582",
        f'{{"id": {CARDS[0]}, "orderId": "{CARDS[0]}"}}',
        f'{{"ids": [{CARDS[0]}, {CARDS[1]}, {CARDS[2]}]}}',
        f"cursor={CARDS[0]}",
        f"0.{CARDS[0]} and {CARDS[0]}.5 and a{CARDS[0]} and {CARDS[0]}b and 1{CARDS[0]}",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "550e8400-e29b-41d4-a716-446655440000",
        "127.0.0.1:8080, 192.168.100.200, 10.0.0.0/8, call 192.168.100.200",
        "call 12345678 times, mobile version 1764404582, sms 20260115",
        "at the last call (2025-11-25)",
        "1234567890 123456789 12345678901 123456789012",
        "a +1234567890123 b 5+12345678901",
        "nine hundred: 900-12-3456, 000-12-3456, 666-12-3456, 123-00-4567, 123-45-0000",
        "@@ -1,2 +3,4 @@\n+4930901820\n+49 30 901820",
        "sinus 123456782, pancake ACUPA7085R, hotel 20260115",
    ],
)
def test_versions_times_hashes_and_ids_are_no_personal_data(text: str) -> None:
    assert found(text) == []


@extra
def test_random_hashes_and_ids_are_no_personal_data() -> None:
    chance = random.Random(6)
    lines = [f'{{"sha": "{chance.randbytes(32).hex()}", "id": {chance.randrange(10**18)}}}' for _ in range(2_000)]
    assert found("\n".join(lines)) == []


@extra
def test_what_stands_on_a_seam_is_found_once() -> None:
    for at in range(STEP - len(MAIL) - 1, STEP + 2):
        text = "-" * (at - 1) + f" {MAIL} " + "-" * STEP
        assert found(text) == [("email", MAIL)]
    assert OVER > 2 * NEAR


@extra
def test_of_two_findings_in_one_place_the_first_is_kept() -> None:
    assert found(f"phone: {CARDS[6]}") == [("credit-card", CARDS[6])]


@extra
def test_more_numbers_than_are_proven_count_by_their_shape() -> None:
    invalid = "+999 1234567"
    assert found("\n".join([invalid] * MANY)) == []
    assert len(found("\n".join([f" {invalid}"] * (MANY + 5)))) == 5


@extra
@pytest.mark.parametrize(
    "text",
    [
        "@" * 200_000,
        "a" * 200_000 + "@",
        "1 " * 100_000,
        "+1" * 100_000,
        "a.b@" * 50_000,
        "phone " * 40_000,
        "AA00" * 50_000,
    ],
    ids=["at", "long", "digits", "plus", "chain", "words", "letters"],
)
def test_a_search_calls_its_clock_between_pages_whatever_it_reads(text: str) -> None:
    search, calls = PersonalData(), list[int]()
    search.load()
    search.find(text.encode(), lambda: calls.append(1))
    assert len(calls) == -(-len(text) // STEP)

    def over() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        search.find(text.encode(), over)


# --- without the extra -----------------------------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not installed."""
    for name in [*PACKAGES, *(name for name in sys.modules if name.startswith("stdnum."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "stdnum.luhn", None)


@pytest.mark.usefixtures("bare")
def test_without_the_extra_nothing_is_searched_and_the_error_names_it() -> None:
    search = PersonalData()
    with pytest.raises(GatewayError, match=r"wardgate\[pii\]"):
        search.load()
    assert not search.loaded
    with pytest.raises(GatewayError) as raised:
        search.find(b"x")
    assert str(raised.value) == MISSING


@pytest.mark.usefixtures("bare")
def test_without_the_extra_a_policy_that_asks_for_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir(mode=0o700)
    file = tmp_path / "upstreams.toml"
    file.write_text('schema = 1\n[upstreams.a]\nowner = "ada"\ncommand = "true"\n', encoding="utf-8")
    policy = tmp_path / "policies" / "mail.toml"
    policy.write_text('owner = "ada"\n[[resource]]\nmatch = "a/*"\noutput = { pii = "flag" }\n', encoding="utf-8")
    settings = load_settings(file, {})
    with pytest.raises(ConfigurationError, match=r"wardgate\[pii\]"):
        load_policy(settings, date(2026, 11, 22))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("action", [PersonalAction.FLAG, PersonalAction.REDACT])
async def test_without_the_extra_what_a_label_asks_for_is_withheld(action: PersonalAction) -> None:
    screener = Screener(Engine(), Clock(), KEY)
    screened = await screener.screen(result("harmless"), tool(action, trust=Trust.TRUSTED), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.SCANNER_FAILED)
    free = await screener.screen(result("harmless"), tool(PersonalAction.OFF), DEADLINE)
    assert free.release is Release.FULL


# --- the way of a result ---------------------------------------------------------------------------------------------


class Engine:
    """A scanner that knows one secret."""

    loaded = True

    async def ready(self) -> None:
        """It is."""

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        return _occurrences(data, SECRET.encode(), "fake")


class Finder:
    """Finds one address; `first` is run before."""

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self.loaded, self.loads, self.searches, self._first = False, 0, 0, first

    def load(self) -> None:
        self.loaded, self.loads = True, self.loads + 1

    def find(self, data: bytes, alive: Callable[[], object]) -> list[Span]:
        assert self.loaded
        self.searches += 1
        self._first()
        alive()
        return _occurrences(data, MAIL.encode(), "email")


def _occurrences(data: bytes, wanted: bytes, kind: str) -> list[Span]:
    spans, at = list[Span](), data.find(wanted)
    while at >= 0:
        spans.append(Span(at, at + len(wanted), kind, wanted))
        at = data.find(wanted, at + 1)
    return spans


def make(finder: Finder | None = None) -> Screener:
    return Screener(Engine(), Clock(), KEY, finder or Finder())


def tool(
    action: PersonalAction = PersonalAction.REDACT,
    schema: Mapping[str, Any] | None = None,
    secrets: SecretAction = SecretAction.REDACT,
    trust: Trust = Trust.UNTRUSTED,
) -> Tool:
    definition = {"name": "t", "inputSchema": {}, **({} if schema is None else {"outputSchema": schema})}
    labels = Labels(Effect.READ, output=OutputLabel(trust, secrets=secrets, pii=action))
    return Tool(ToolRef("u", "t"), "u__t", definition, "0" * 64, Effect.READ, Tier.READ, labels)


def result(text: str, **more: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


async def test_nobody_looks_for_personal_data_unasked() -> None:
    finder = Finder()
    value = result(f"to {MAIL}")
    for of in (None, tool(PersonalAction.OFF)):
        screened = await make(finder).screen(value, of, DEADLINE)
        assert (screened.release, screened.value, screened.findings) == (Release.FULL, value, ())
    assert (finder.loads, finder.searches) == (0, 0)


@pytest.mark.parametrize("secrets", [SecretAction.REDACT, SecretAction.ALLOW, SecretAction.BLOCK, SecretAction.ASK])
async def test_personal_data_is_redacted_whatever_the_label_says_of_secrets(secrets: SecretAction) -> None:
    screened = await make().screen(result(f"to {MAIL}, {MAIL}"), tool(secrets=secrets), DEADLINE)
    expected = result("to [REDACTED:email:1], [REDACTED:email:1]")
    assert (screened.release, screened.value, screened.reason) == (Release.REDACTED, expected, None)
    assert screened.recorded == expected
    (finding,) = screened.findings
    assert finding == Finding("email", "content[0].text", finding.fingerprint, False, Grade.GENERIC, Act.REDACTED)


async def test_flagged_personal_data_passes_and_is_on_the_record_only_as_a_marker() -> None:
    value = result(f"to {MAIL}")
    screened = await make().screen(value, tool(PersonalAction.FLAG), DEADLINE)
    assert (screened.release, screened.value) == (Release.FULL, value)
    assert [(one.kind, one.act) for one in screened.findings] == [("email", Act.FLAGGED)]
    assert screened.recorded == result("to [REDACTED:email:1]")


async def test_secrets_and_personal_data_are_numbered_together() -> None:
    screened = await make().screen(result(f"{MAIL} {SECRET} {MAIL}"), tool(), DEADLINE)
    assert screened.value == result("[REDACTED:email:1] [REDACTED:fake:2] [REDACTED:email:1]")
    assert [(one.kind, one.grade) for one in screened.findings] == [("email", Grade.GENERIC), ("fake", Grade.VENDOR)]


async def test_a_secret_is_redacted_beside_personal_data_that_passes() -> None:
    screened = await make().screen(result(f"{MAIL} {SECRET}"), tool(PersonalAction.FLAG), DEADLINE)
    assert screened.value == result(f"{MAIL} [REDACTED:fake:1]")


@pytest.mark.parametrize(
    "value",
    [
        result("a", structuredContent={"who": {MAIL: [MAIL]}}),
        {"content": [{"type": "resource", "resource": {"uri": f"mail://{MAIL}", "text": MAIL}}]},
        {"content": [{"type": "resource", "resource": {"uri": "a", "blob": base64.b64encode(MAIL.encode()).decode()}}]},
        {"content": [{"type": "resource_link", "uri": "a", "name": MAIL, "description": f"of {MAIL}"}]},
        {"contents": [{"uri": "a", "text": MAIL}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": MAIL}}]},
        {"completion": {"values": [MAIL], "hasMore": False}},
        {"code": -32000, "message": f"no mailbox {MAIL}", "data": {"mailbox": MAIL}},
        result("a", _meta={"who": MAIL}),
        result("see " + base64.b64encode(f"the mail of {MAIL} was sent".encode()).decode()),
    ],
    ids=["structured", "resource", "blob", "link", "read", "prompt", "completion", "error", "meta", "base64"],
)
async def test_personal_data_is_redacted_on_every_surface(value: dict[str, Any]) -> None:
    screened = await make().screen(value, tool(), DEADLINE)
    assert screened.release is Release.REDACTED
    text = json.dumps(screened.value)
    assert "[REDACTED:email:" in text or "blob" in text
    assert MAIL not in text
    assert base64.b64encode(MAIL.encode()).decode() not in text
    assert await make().redact(screened.value, DEADLINE, tool()) == (screened.value, ())


async def test_a_redacted_result_fits_its_schema_or_is_an_error() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 17}}}
    value = result("a", structuredContent={"to": MAIL})
    screened = await make().screen(value, tool(schema=schema), DEADLINE)
    assert (screened.value or {}).get("structuredContent") == {}
    required = {**schema, "required": ["to"]}
    screened = await make().screen(value, tool(schema=required), DEADLINE)
    assert (screened.value or {}).get("isError") is True
    assert MAIL not in json.dumps(screened.value)


def _breaks() -> None:
    raise RuntimeError(MAIL)


async def test_a_search_that_breaks_withholds() -> None:
    screened = await make(Finder(_breaks)).screen(result("a"), tool(trust=Trust.TRUSTED), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.SCANNER_FAILED)
    assert MAIL not in repr(screened)


async def test_a_search_that_is_late_withholds_even_what_is_trusted() -> None:
    clock = Clock()

    def dawdle() -> None:
        clock.time += 100

    screener = Screener(Engine(), clock, KEY, Finder(dawdle))
    screened = await screener.screen(result(MAIL), tool(trust=Trust.TRUSTED), DEADLINE)
    assert (screened.release, screened.unscanned) == (Release.WITHHELD, "deadline")


async def test_what_an_upstream_says_in_a_call_takes_the_label_of_its_tool() -> None:
    said = {"message": f"{MAIL} {SECRET}"}
    screener = make()
    assert (await screener.redact(said, DEADLINE))[0] == {"message": f"{MAIL} [REDACTED:fake:1]"}
    redacted, findings = await screener.redact(said, DEADLINE, tool())
    assert redacted == {"message": "[REDACTED:email:1] [REDACTED:fake:2]"}
    assert [one.act for one in findings] == [Act.REDACTED, Act.REDACTED]
    flagged, findings = await screener.redact(said, DEADLINE, tool(PersonalAction.FLAG))
    assert flagged == {"message": f"{MAIL} [REDACTED:fake:1]"}
    assert [one.act for one in findings] == [Act.FLAGGED, Act.REDACTED]


@extra
async def test_the_real_search_is_loaded_by_the_first_label_that_asks() -> None:
    screener = Screener(Engine(), Clock(), KEY)
    value = result(f'{{"mail": "{MAIL}", "card": "{CARDS[0]}"}}', structuredContent={"iban": "DE89370400440532013000"})
    screened = await screener.screen(value, tool(), DEADLINE)
    assert screened.value == result(
        '{"mail": "[REDACTED:email:1]", "card": "[REDACTED:credit-card:2]"}',
        structuredContent={"iban": "[REDACTED:iban:3]"},
    )
