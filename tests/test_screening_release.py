"""What is released: by grade, label and a person's word; valid, idempotent; and what was not scanned."""

import json
import re
import threading
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.grading import GENERIC
from gateway.core.model import (
    Act,
    Effect,
    Grade,
    Labels,
    OutputLabel,
    Reason,
    Release,
    Screened,
    SecretAction,
    Tier,
    Tool,
    ToolRef,
    Trust,
)
from gateway.core.posing import MARK
from gateway.core.secrets import Span
from gateway.errors import GatewayError
from gateway.screening.schema import stays_valid
from gateway.screening.screener import EXACT_SECONDS, INLINE, INLINE_SPANS, Screener
from tests.made import token
from tests.test_screening import DEADLINE, KEY, SECRET, Clock, Engine, result

BIG = "x " * INLINE
SHAPES = {sorted(GENERIC)[0]: re.compile(rb"gen_[0-9]{12}"), "vendor": re.compile(rb"tok_[0-9]{12}")}
VENDOR, OTHER = "tok_000000000001", "gen_000000000002"


class Shapes(Engine):
    """A scanner that knows a vendor's shape and a generic one."""

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        return [Span(*found.span(), kind, found[0]) for kind, shape in SHAPES.items() for found in shape.finditer(data)]


def make(engine: Engine | None = None) -> Screener:
    return Screener(engine or Shapes(), Clock(), KEY)


def tool(label: OutputLabel, tier: Tier = Tier.READ, schema: Mapping[str, Any] | None = None) -> Tool:
    definition = {"name": "t", "inputSchema": {}, **({} if schema is None else {"outputSchema": schema})}
    labels = Labels(Effect.READ, output=label)
    return Tool(ToolRef("u", "t"), "u__t", definition, "0" * 64, Effect.READ, tier, labels)


NEUTRAL = OutputLabel(trust=Trust.NEUTRAL)
ASK = OutputLabel(secrets=SecretAction.ASK)


def told(screened: Screened) -> list[tuple[Grade, Act]]:
    return [(finding.grade, finding.act) for finding in screened.findings]


def unmarked(value: Any) -> Any:
    """The value without what says that our words in it are the upstream's."""
    return json.loads(canonical(value).replace(MARK.encode(), b""))


async def test_a_generic_finding_is_redacted_where_the_output_is_untrusted_and_flagged_where_it_is_not() -> None:
    value = result(f"{VENDOR} {OTHER}")
    screened = await make().screen(value, tool(OutputLabel()), DEADLINE)
    assert screened.value == screened.recorded != value
    assert told(screened) == [(Grade.VENDOR, Act.REDACTED), (Grade.GENERIC, Act.REDACTED)]
    screened = await make().screen(value, tool(NEUTRAL), DEADLINE)
    assert (screened.release, screened.value) == (Release.REDACTED, result(f"[REDACTED:vendor:1] {OTHER}"))
    assert told(screened) == [(Grade.VENDOR, Act.REDACTED), (Grade.GENERIC, Act.FLAGGED)]
    assert OTHER not in str(screened.recorded)
    screened = await make().screen(value, tool(replace(NEUTRAL, strict=True)), DEADLINE)
    assert OTHER not in str(screened.value)
    screened = await make().screen(value, tool(NEUTRAL), DEADLINE, tainted=True)
    assert OTHER not in str(screened.value)


@pytest.mark.parametrize("padding", ["", BIG], ids=["on the loop", "in a thread"])
async def test_what_is_only_flagged_leaves_whole_and_is_recorded_redacted(padding: str) -> None:
    value = result(f"{padding}{OTHER}")
    screened = await make().screen(value, tool(NEUTRAL), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.FULL, value, None)
    assert told(screened) == [(Grade.GENERIC, Act.FLAGGED)]
    assert screened.data == canonical(value)
    assert OTHER not in str(screened.recorded)


@pytest.mark.parametrize("action", SecretAction)
async def test_what_a_person_allowed_passes_under_every_label_and_nothing_else_does(action: SecretAction) -> None:
    screener, value = make(), result(VENDOR)
    label = OutputLabel(secrets=action)
    fingerprint = (await screener.screen(value, tool(OutputLabel()), DEADLINE)).findings[0].fingerprint
    screener.allowed = {fingerprint}.__contains__
    screened = await screener.screen(value, tool(label), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.FULL, value, None)
    assert told(screened) == [(Grade.VENDOR, Act.ALLOWED)]
    assert VENDOR not in str(screened.recorded)
    if action is not SecretAction.ALLOW:
        screened = await screener.screen(result(f"{VENDOR} {OTHER}"), tool(label), DEADLINE)
        assert OTHER not in str(screened.value)
        assert Act.ALLOWED not in {finding.act for finding in screened.findings[1:]}


async def test_nobody_can_allow_a_secret_of_the_gateways_own() -> None:
    screener, own = make(), token(8)
    screener.know("up.TOKEN", own)
    screener.allowed = lambda fingerprint: True
    screened = await screener.screen(result(own), tool(OutputLabel(secrets=SecretAction.ALLOW)), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.EXACT_SECRET)
    assert told(screened) == [(Grade.EXACT, Act.WITHHELD)]
    assert own not in str(screened)


async def test_an_error_that_echoes_the_gateways_own_token_is_withheld() -> None:
    screener, own = make(), token(8)
    screener.know("up.TOKEN", own)
    value = {"message": f"401: bad token {own}", "data": None}
    assert (await screener.screen(value, None, DEADLINE)).reason is Reason.EXACT_SECRET


async def test_where_the_label_asks_everything_found_is_redacted_until_a_person_lets_it_pass() -> None:
    screened = await make().screen(result(f"{VENDOR} {OTHER}"), tool(replace(ASK, trust=Trust.TRUSTED)), DEADLINE)
    assert (screened.release, screened.reason) == (Release.REDACTED, Reason.SECRET_FOUND)
    assert told(screened) == [(Grade.VENDOR, Act.REDACTED), (Grade.GENERIC, Act.REDACTED)]
    assert screened.whole == result(f"{VENDOR} {OTHER}")
    assert VENDOR not in repr(screened)
    fine = await make().screen(result("fine"), tool(ASK), DEADLINE)
    assert (fine.reason, fine.whole, fine.release) == (None, None, Release.FULL)


async def test_nobody_is_asked_about_the_gateways_own() -> None:
    screener, own = make(), token(8)
    screener.know("up.TOKEN", own)
    screened = await screener.screen(result(f"{VENDOR} {own}"), tool(ASK), DEADLINE)
    assert (screened.value, screened.whole, screened.reason) == (None, None, Reason.EXACT_SECRET)


SCHEMAS = [{"required": ["k"], "properties": {"k": {"maxLength": 5}}}, {"properties": {"k": {"maxLength": 5}}}, {}]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_a_person_is_asked_about_the_whole_whatever_becomes_of_the_redacted_one(schema: Any) -> None:
    value = result("x", structuredContent={"k": VENDOR})
    screened = await make().screen(value, tool(ASK, schema=schema), DEADLINE)
    assert screened.whole == value
    assert VENDOR not in str(screened.value)


@pytest.mark.parametrize("label", [OutputLabel(), NEUTRAL], ids=["untrusted", "neutral"])
async def test_screening_what_was_screened_finds_nothing_and_changes_nothing(label: OutputLabel) -> None:
    structured = {"k": f"a {VENDOR}", VENDOR: [VENDOR]}
    once = (
        await make().screen(result(json.dumps(structured), structuredContent=structured), tool(label), DEADLINE)
    ).value
    assert once is not None
    assert json.loads(once["content"][0]["text"]) == once["structuredContent"]
    again = await make().screen(once, tool(label), DEADLINE)
    # Of an upstream's answer they are told as the upstream's, and that is all.
    assert (unmarked(again.value), again.findings, again.release) == (once, (), Release.FULL)
    last = await make().screen(again.value or {}, tool(label), DEADLINE)
    assert (last.value, last.findings) == (again.value, ())


async def test_a_repair_that_uncovers_another_finding_withholds() -> None:
    class Shy(Engine):
        """Finds one thing while it stands there, and another one only after that."""

        def scan(self, data: bytes, timeout: float) -> list[Span]:
            found = super().scan(data, timeout)
            at = data.find(b"hidden")
            return found if found or b"[REDACTED:" in data or at < 0 else [Span(at, at + 6, "late", b"hidden")]

    schema = {"properties": {"k": {"maxLength": 5}}}
    value = result("x", structuredContent={"k": SECRET, "other": "hidden"})
    screened = await make(Shy()).screen(value, tool(OutputLabel(), schema=schema), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.SECRET_FOUND)
    assert {finding.act for finding in screened.findings} == {Act.WITHHELD}


# What was not scanned.


def hanging() -> Engine:
    """A scanner that answers long after every deadline."""
    engine = Engine()
    engine.hang = threading.Event()
    return engine


async def late(screener: Screener, engine: Engine, value: Mapping[str, Any], asked: Tool | None) -> Screened:
    """What becomes of a value that is not scanned in time."""
    with anyio.fail_after(20):
        screened = await screener.screen(value, asked, 1000.05)
    assert engine.hang is not None
    engine.hang.set()
    return screened


TRUSTING = [NEUTRAL, OutputLabel(trust=Trust.TRUSTED), replace(NEUTRAL, secrets=SecretAction.ALLOW)]


@pytest.mark.parametrize("tier", [Tier.READ, Tier.WRITE])
@pytest.mark.parametrize("label", TRUSTING)
async def test_what_is_trusted_and_takes_too_long_leaves_and_the_record_says_so(label: OutputLabel, tier: Tier) -> None:
    engine = hanging()
    value = result(BIG)
    screened = await late(make(engine), engine, value, tool(label, tier))
    assert (screened.release, screened.value, screened.reason) == (Release.FULL, value, Reason.UNSCREENED)
    assert (screened.unscanned, screened.recorded, screened.findings) == ("deadline", None, ())
    assert screened.data == canonical(value)
    assert screened.digest


HELD = [
    (OutputLabel(), Tier.READ),
    (NEUTRAL, Tier.HIGH),
    (replace(NEUTRAL, strict=True), Tier.READ),
    (replace(NEUTRAL, secrets=SecretAction.BLOCK), Tier.READ),
    (replace(NEUTRAL, secrets=SecretAction.ASK), Tier.READ),
    (replace(OutputLabel(), secrets=SecretAction.ALLOW), Tier.READ),
]


@pytest.mark.parametrize(("label", "tier"), HELD)
async def test_whatever_else_takes_too_long_is_withheld(label: OutputLabel, tier: Tier) -> None:
    engine = hanging()
    screened = await late(make(engine), engine, result(BIG), tool(label, tier))
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.SCANNER_FAILED)
    assert screened.unscanned == "deadline"


async def test_what_is_not_scanned_is_still_searched_for_the_gateways_own() -> None:
    engine, own = hanging(), token(8)
    screener = make(engine)
    screener.know("up.TOKEN", own)
    screened = await late(screener, engine, result(f"{BIG}{own}"), tool(NEUTRAL))
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.EXACT_SECRET)
    assert told(screened) == [(Grade.EXACT, Act.WITHHELD)]


async def test_what_is_not_scanned_and_uses_the_gateways_words_is_marked_all_the_same() -> None:
    engine = hanging()
    screened = await late(make(engine), engine, result(f"{BIG}[REDACTED:x:1]"), tool(NEUTRAL))
    assert screened.value == result(f"{BIG}[upstream text] [REDACTED:x:1]")
    assert screened.poses


async def test_what_can_not_even_be_searched_in_time_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.screening.screener.EXACT_SECONDS", 0.0)
    engine = hanging()
    assert EXACT_SECONDS > 0
    screened = await late(make(engine), engine, result(BIG), tool(NEUTRAL))
    assert (screened.value, screened.reason) == (None, Reason.SCANNER_FAILED)


@pytest.mark.parametrize("problem", [GatewayError("x"), ValueError(), MemoryError()], ids=repr)
async def test_a_scanner_that_is_broken_withholds_what_is_trusted_too(problem: Exception) -> None:
    screened = await make(Engine(problem=problem)).screen(result("x"), tool(NEUTRAL), DEADLINE)
    assert (screened.value, screened.reason, screened.unscanned) == (None, Reason.SCANNER_FAILED, "failed")


async def test_a_scanner_that_is_not_loaded_in_time_is_a_broken_one() -> None:
    engine = Engine()
    engine.loaded = False
    with anyio.fail_after(20):
        screened = await make(engine).screen(result("x"), tool(NEUTRAL), 1000.02)
    assert (screened.value, screened.unscanned) == (None, "failed")


async def test_what_is_over_a_limit_is_withheld_whoever_trusts_it() -> None:
    value: Any = "x"
    for _ in range(200):
        value = [value]
    screened = await make().screen({"content": value}, tool(NEUTRAL), DEADLINE)
    assert (screened.value, screened.reason, screened.unscanned) == (None, Reason.SCANNER_FAILED, "limit")


async def test_more_findings_than_can_be_repaired_are_withheld() -> None:
    many = " ".join(f"tok_{number:012d}" for number in range(10_001))
    screened = await make().screen(result(many), tool(NEUTRAL), DEADLINE)
    assert (screened.value, screened.reason, screened.unscanned) == (None, Reason.SCANNER_FAILED, "limit")


# Schema-valid after redaction, for schemas that are made.

TEXTS = st.sampled_from(["x", VENDOR, f"a {VENDOR} b", OTHER, "tok_000000000003"])
LEAVES: st.SearchStrategy[Any] = st.one_of(
    TEXTS.map(lambda text: ({"type": "string"}, text)),
    TEXTS.map(lambda text: ({"type": "string", "maxLength": len(text)}, text)),
    TEXTS.map(lambda text: ({"type": "string", "pattern": f"^{text}$"}, text)),
    TEXTS.map(lambda text: ({"enum": [text, None]}, text)),
    TEXTS.map(lambda text: ({"const": text}, text)),
    st.integers(0, 99).map(lambda number: ({"type": "integer"}, number)),
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with optional and required properties, each with its schema: pairs of schema and value."""

    def made(pairs: dict[str, tuple[Any, Any]], required: set[str], closed: bool) -> tuple[Any, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {key: schema for key, (schema, _) in pairs.items()},
            "required": sorted(required & set(pairs)),
        }
        if closed:
            schema["additionalProperties"] = False
        return schema, {key: value for key, (_, value) in pairs.items()}

    keys = st.sampled_from(["a", "b", "c", VENDOR])
    return st.builds(made, st.dictionaries(keys, inner, max_size=3), st.sets(keys), st.booleans())


def lists(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda pair, count: ({"type": "array", "items": pair[0], "minItems": count}, [pair[1]] * count),
        inner,
        st.integers(0, 2),
    )


PAIRS = objects(st.recursive(LEAVES, lambda inner: objects(inner) | lists(inner), max_leaves=8))


@settings(deadline=None, max_examples=80)
@given(pair=PAIRS, mirrors=st.booleans(), trusted=st.booleans())
def test_what_is_released_fits_its_schema_holds_no_secret_and_is_clean(pair: Any, mirrors: bool, trusted: bool) -> None:
    schema, structured = pair
    assert stays_valid(structured, schema)
    value = result(json.dumps(structured) if mirrors else "x", structuredContent=structured)
    asked = tool(NEUTRAL if trusted else OutputLabel(), schema=schema)
    screened = anyio.run(lambda: make().screen(value, asked, DEADLINE))
    assert screened.value is not None
    sealed = canonical(screened.value)
    assert screened.data == sealed
    assert not SHAPES["vendor"].search(sealed)
    assert trusted or not any(shape.search(sealed) for shape in SHAPES.values())
    assert not any(shape.search(canonical(screened.recorded)) for shape in SHAPES.values())
    if screened.reason is Reason.RESULT_INVALID:
        assert (screened.value["isError"], "structuredContent" in screened.value) == (True, False)
        return
    after = screened.value["structuredContent"]
    assert stays_valid(after, schema)
    if mirrors:
        assert json.loads(screened.value["content"][0]["text"]) == after
    again = anyio.run(lambda: make().screen(screened.value or {}, asked, DEADLINE))
    assert unmarked(again.value) == screened.value
    assert {finding.act for finding in again.findings} <= {Act.FLAGGED}


async def test_more_findings_than_are_dealt_with_on_the_loop_go_to_a_thread() -> None:
    seen: list[int] = []

    class Where(Shapes):
        """Notes in which thread it is asked."""

        def scan(self, data: bytes, timeout: float) -> list[Span]:
            seen.append(threading.get_ident())
            return super().scan(data, timeout)

    few, many = ("".join(f"tok_{number:012d} " for number in range(count)) for count in (20, INLINE_SPANS + 1))
    for text, threads in ((few, 1), (many, 2)):
        seen.clear()
        screened = await make(Where()).screen(result(text), None, DEADLINE)
        assert not SHAPES["vendor"].search(canonical(screened.value))
        assert len(set(seen)) == threads
