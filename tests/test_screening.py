"""The screener: whatever fails withholds, what is released is valid and holds no secret, and nothing waits for ever."""

import base64
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.core.canon import canonical, keyed_digest
from gateway.core.model import (
    Act,
    Effect,
    Labels,
    OutputLabel,
    Reason,
    Release,
    Screened,
    SecretAction,
    Tier,
    Tool,
    ToolRef,
)
from gateway.core.secrets import Span
from gateway.errors import GatewayError
from gateway.screening.exact import KnownSecrets
from gateway.screening.schema import stays_valid
from gateway.screening.screener import INLINE, LIMIT, SHORT, Screener
from tests.made import token

KEY = b"k" * 32
SECRET = token(7)
BIG = "x " * INLINE


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.time


class Engine:
    """A scanner that knows one secret, and can fail, hang or be slow to load."""

    def __init__(self, secret: str = SECRET, problem: BaseException | None = None) -> None:
        self.secret, self.problem = secret.encode(), problem
        self.loaded, self.settled = True, anyio.Event()
        self.hang: threading.Event | None = None
        self.timeouts: list[float] = []

    async def ready(self) -> None:
        await self.settled.wait()
        if not self.loaded:
            raise GatewayError("not loaded")

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        self.timeouts.append(timeout)
        if self.hang is not None:
            self.hang.wait(30)
        if self.problem is not None:
            raise self.problem
        at = data.find(self.secret)
        return [Span(at, at + len(self.secret), "fake", self.secret)] if at >= 0 else []


def make(engine: Engine | None = None) -> Screener:
    return Screener(engine or Engine(), Clock(), KEY)


def tool(action: SecretAction = SecretAction.REDACT, schema: Mapping[str, Any] | None = None) -> Tool:
    definition = {"name": "t", "inputSchema": {}, **({} if schema is None else {"outputSchema": schema})}
    labels = Labels(Effect.READ, output=OutputLabel(secrets=action))
    return Tool(ToolRef("u", "t"), "u__t", definition, "0" * 64, Effect.READ, Tier.READ, labels)


def result(text: str, **more: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


DEADLINE = 1005.0


async def test_a_clean_result_is_released_as_the_same_object() -> None:
    value = result("fine")
    screened = await make().screen(value, tool(), DEADLINE)
    assert screened.value is value
    sealed = canonical(value)
    assert screened == Screened(Release.FULL, value, (), None, keyed_digest(KEY, sealed), sealed, value)


@pytest.mark.parametrize("padding", ["", BIG], ids=["on the loop", "in a thread"])
async def test_what_may_leave_whole_is_redacted_for_the_record_all_the_same(padding: str) -> None:
    value = result(f"{padding}a {SECRET} b")
    screened = await make().screen(value, tool(SecretAction.ALLOW), DEADLINE)
    assert (screened.release, screened.value) == (Release.FULL, value)
    assert screened.recorded == result(f"{padding}a [REDACTED:fake:1] b")
    assert screened.digest == keyed_digest(KEY, canonical(value))


async def test_what_is_withheld_is_on_the_record_redacted() -> None:
    screened = await make().screen(result(f"a {SECRET} b"), tool(SecretAction.BLOCK), DEADLINE)
    assert (screened.value, screened.data) == (None, b"")
    assert screened.recorded == result("a [REDACTED:fake:1] b")


@pytest.mark.parametrize("padding", ["", BIG], ids=["on the loop", "in a thread"])
async def test_a_secret_is_redacted_and_told_by_a_keyed_fingerprint(padding: str) -> None:
    screened = await make().screen(result(f"{padding}a {SECRET} b"), None, DEADLINE)
    assert screened.release is Release.REDACTED
    assert screened.value == result(f"{padding}a [REDACTED:fake:1] b")
    [finding] = screened.findings
    assert (finding.kind, finding.place, finding.exact) == ("fake", "content[0].text", False)
    assert len(finding.fingerprint) == 16
    other = await Screener(Engine(), Clock(), b"other").screen(result(SECRET), None, DEADLINE)
    assert other.findings[0].fingerprint != finding.fingerprint
    assert SECRET not in repr(screened)


async def test_where_the_label_blocks_a_finding_withholds() -> None:
    screened = await make().screen(result(SECRET), tool(SecretAction.BLOCK), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.SECRET_FOUND)
    assert [finding.act for finding in screened.findings] == [Act.WITHHELD]
    assert (await make().screen(result("fine"), tool(SecretAction.BLOCK), DEADLINE)).release is Release.FULL


async def test_where_the_label_allows_secrets_they_pass_and_are_told_but_never_the_gateways_own() -> None:
    screener, own = make(), token(8)
    screener.know("up.TOKEN", own)
    value = result(f"a {SECRET}")
    screened = await screener.screen(value, tool(SecretAction.ALLOW), DEADLINE)
    assert screened.value is value
    assert screened.release is Release.FULL
    assert [(finding.kind, finding.act) for finding in screened.findings] == [("fake", Act.ALLOWED)]
    screened = await screener.screen(result(f"{SECRET} {own}"), tool(SecretAction.ALLOW), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.EXACT_SECRET)
    assert [(finding.exact, finding.act) for finding in screened.findings] == [
        (False, Act.WITHHELD),
        (True, Act.WITHHELD),
    ]
    assert screened.recorded == result("[REDACTED:fake:1] [REDACTED:gateway-secret:2]")


ENCODINGS = {
    "plain": lambda secret: secret,
    "JSON": lambda secret: json.dumps({"k": secret}),
    "hex": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(f"user:{secret}!".encode()).decode(),
    "header": lambda secret: f"Authorization: Bearer {secret}",
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
async def test_a_secret_of_the_gateway_itself_withholds_in_its_encodings(encode: Any) -> None:
    screener = make(Engine("no such thing"))
    own = token(9)
    screener.know("up.AUTH", f"Bearer {own}")
    screened = await screener.screen(result(f"x {encode(own)} y"), tool(), DEADLINE)
    assert (screened.release, screened.value, screened.reason) == (Release.WITHHELD, None, Reason.EXACT_SECRET)
    assert "[REDACTED:gateway-secret:1]" in str(screened.recorded)
    assert all(finding.exact for finding in screened.findings)
    assert own[4:-4] not in str(screened.recorded)
    assert own.encode().hex()[8:-8] not in str(screened.recorded)


async def test_weak_secrets_are_left_out_and_named() -> None:
    screener = make()
    screener.know("up.MODE", "production")
    screener.know("up.PIN", "1234")
    screener.know("up.TOKEN", token(8))
    assert screener.left_out == {"up.MODE": "only words", "up.PIN": "shorter than 8 characters"}
    assert (await screener.screen(result("production"), tool(), DEADLINE)).release is Release.FULL


def test_known_secrets_do_not_show_in_a_repr() -> None:
    known = KnownSecrets()
    known.know("up.TOKEN", SECRET)
    known.find(b"compiled now")
    assert repr(known) == "KnownSecrets(1 known, 0 left out)"
    known.know("again", SECRET)
    assert [(span.start, span.exact) for span in known.find(f"a {SECRET}".encode())] == [(2, True)]


@pytest.mark.parametrize("padding", ["", BIG], ids=["on the loop", "in a thread"])
@pytest.mark.parametrize("problem", [GatewayError("x"), TimeoutError(), ValueError(SECRET), MemoryError()], ids=repr)
async def test_a_scanner_that_fails_withholds(problem: Exception, padding: str) -> None:
    screener = make(Engine(problem=problem))
    screened = await screener.screen(result(padding), tool(), DEADLINE)
    why = "deadline" if isinstance(problem, TimeoutError) else "failed"
    assert screened == Screened(Release.WITHHELD, None, (), Reason.SCANNER_FAILED, unscanned=why)
    with pytest.raises(GatewayError) as told:
        await screener.clean({"a": padding}, DEADLINE)
    assert SECRET not in str(told.value)
    assert screener.clean_text("short") == ""


async def test_a_scan_that_hangs_is_left_alone_at_the_deadline() -> None:
    engine = Engine()
    engine.hang = threading.Event()
    with anyio.fail_after(20):
        screened = await make(engine).screen(result(BIG), tool(), 1000.05)
    engine.hang.set()
    assert screened.reason is Reason.SCANNER_FAILED


async def test_after_the_deadline_nothing_is_scanned_and_nothing_released() -> None:
    engine = Engine()
    screened = await make(engine).screen(result("fine"), tool(), 1000.0)
    assert screened.reason is Reason.SCANNER_FAILED
    assert engine.timeouts == []


async def test_the_scanner_is_given_what_is_left_of_the_deadline() -> None:
    engine = Engine()
    await make(engine).screen(result(BIG), tool(), 1002.0)
    await make(engine).screen(result("short"), tool(), 1002.0)
    assert engine.timeouts[0] == 2.0
    assert engine.timeouts[1] < 1.0


async def test_while_it_loads_a_result_waits_and_is_then_released() -> None:
    engine = Engine()
    engine.loaded = False
    screener, answers = make(engine), list[Screened]()

    async def ask() -> None:
        answers.append(await screener.screen(result(SECRET), tool(), DEADLINE))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert answers == []
            assert screener.clean_text("short") == ""
            engine.loaded = True
            engine.settled.set()
    assert answers[0].release is Release.REDACTED


async def test_what_is_not_loaded_at_the_deadline_or_could_not_be_withholds() -> None:
    engine = Engine()
    engine.loaded = False
    with anyio.fail_after(20):
        screened = await make(engine).screen(result("fine"), tool(), 1000.02)
        assert screened.reason is Reason.SCANNER_FAILED
        engine.settled.set()
        screened = await make(engine).screen(result("fine"), tool(), DEADLINE)
    assert screened.reason is Reason.SCANNER_FAILED


async def test_cancellation_is_not_swallowed() -> None:
    engine = Engine()
    engine.loaded = False
    with anyio.move_on_after(0.01) as scope:
        await make(engine).screen(result("fine"), tool(), DEADLINE)
    assert scope.cancelled_caught


async def test_more_than_the_limit_is_withheld() -> None:
    engine = Engine()
    screened = await make(engine).screen(result("x" * LIMIT), tool(), DEADLINE)
    assert (screened.reason, screened.unscanned) == (Reason.SCANNER_FAILED, "limit")
    assert engine.timeouts == []
    assert (await make(engine).screen(result("x" * (LIMIT - 1)), tool(), DEADLINE)).release is Release.FULL


class Stubborn(Engine):
    """Finds something wherever it looks."""

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        return [Span(0, len(data), "x", data)]


@pytest.mark.parametrize("action", [SecretAction.REDACT, SecretAction.BLOCK])
async def test_what_can_not_be_proven_clean_is_withheld(action: SecretAction) -> None:
    screener = make(Stubborn())
    assert (await screener.screen(result("x"), tool(action), DEADLINE)).reason is Reason.SECRET_FOUND
    with pytest.raises(GatewayError):
        await screener.clean("x", DEADLINE)
    assert screener.clean_text("x") == ""


async def test_a_secret_of_its_own_that_stays_is_told_as_one() -> None:
    screener = make(Stubborn())
    own = token(8)
    screener.know("up.TOKEN", own)
    assert (await screener.screen(result(own), tool(), DEADLINE)).reason is Reason.EXACT_SECRET


async def test_clean_redacts_any_value_and_image_data_too() -> None:
    screener = make(Engine("QUJDREVG" * 10))
    image = {"type": "image", "data": "QUJDREVG" * 10}
    assert await screener.clean({"content": [image]}, DEADLINE) == {
        "content": [{"type": "image", "data": "[REDACTED:fake:1]"}]
    }
    assert await make().clean([SECRET, 1, None], DEADLINE) == ["[REDACTED:fake:1]", 1, None]
    assert await make().clean(f"{BIG}{SECRET}", DEADLINE) == f"{BIG}[REDACTED:fake:1]"
    assert (await screener.screen({"content": [image]}, tool(), DEADLINE)).release is Release.FULL


def test_clean_text_redacts_and_cuts_before_what_may_be_half_a_secret() -> None:
    screener = make()
    assert screener.clean_text(f"a {SECRET} b") == "a [REDACTED:fake:1] b"
    assert screener.clean_text("") == ""
    start = "x" * (SHORT - 10)
    assert SECRET[:5] not in screener.clean_text(start + SECRET)
    assert screener.clean_text(start + SECRET).startswith("x" * 1000)
    assert screener.clean_text("é\udc80") == "é?"


OBJECT = {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]}


async def test_a_redacted_result_is_released_if_it_is_still_valid() -> None:
    value = result(SECRET, structuredContent={"k": SECRET})
    screened = await make().screen(value, tool(schema=OBJECT), DEADLINE)
    assert screened.release is Release.REDACTED
    assert screened.value == result("[REDACTED:fake:1]", structuredContent={"k": "[REDACTED:fake:1]"})


STRING = {"type": "string"}
BAD_SCHEMAS: dict[str, Any] = {
    "too short": {"properties": {"k": {**STRING, "maxLength": 5}}, "required": ["k"]},
    "a value of a list": {"properties": {"k": {"enum": [SECRET]}}, "required": ["k"]},
    "a pattern": {"properties": {"k": {**STRING, "pattern": "^gh"}}, "required": ["k"]},
    "a pattern that the engine doesn't take": {"properties": {"k": {**STRING, "pattern": "(?=x)"}}, "minProperties": 1},
    "no schema": {"type": "nonsense"},
    "not even an object": 5,
    "one from elsewhere": {"$ref": "https://example.com/schema.json"},
    "one of itself": {"$ref": "#"},
    "patterns of keys": {"patternProperties": {"(a+)+$": {}}},
    "endless": {"items": [{}] * 30_000},
}


@pytest.mark.parametrize("schema", BAD_SCHEMAS.values(), ids=BAD_SCHEMAS.keys())
async def test_a_redacted_result_without_any_valid_form_becomes_an_error_result(schema: Any) -> None:
    value = result("x", structuredContent={"k": SECRET}, _meta={"a": 1})
    screened = await make().screen(value, tool(schema=schema), DEADLINE)
    assert (screened.release, screened.reason) == (Release.REDACTED, Reason.RESULT_INVALID)
    assert screened.findings
    assert screened.value is not None
    assert screened.value["isError"] is True
    assert (screened.value["content"][0], screened.value["_meta"]) == ({"type": "text", "text": "x"}, {"a": 1})
    assert "RESULT INCOMPLETE" in screened.value["content"][1]["text"]
    assert "structuredContent" not in screened.value
    assert screened.data == canonical(screened.value)
    assert screened.recorded == {**value, "structuredContent": {"k": "[REDACTED:fake:1]"}}


FITTED: dict[str, tuple[Any, Any]] = {
    "an optional property is dropped": ({"properties": {"k": {"maxLength": 5}}}, {"n": 1}),
    "a required one is null": (
        {"properties": {"k": {"type": ["string", "null"], "maxLength": 5}}, "required": ["k"]},
        {"k": None, "n": 1},
    ),
    "one that fits stays": ({"properties": {"k": {"type": "string"}}}, {"k": "[REDACTED:fake:1]", "n": 1}),
}


@pytest.mark.parametrize(("schema", "fitted"), FITTED.values(), ids=FITTED.keys())
async def test_a_redacted_result_is_made_to_fit_its_schema_and_its_text_says_the_same(schema: Any, fitted: Any) -> None:
    structured = {"k": SECRET, "n": 1}
    value = result(json.dumps(structured), structuredContent=structured)
    screened = await make().screen(value, tool(schema=schema), DEADLINE)
    assert (screened.release, screened.reason) == (Release.REDACTED, None)
    assert screened.value == result(json.dumps(fitted), structuredContent=fitted)
    assert screened.data == canonical(screened.value)


async def test_the_schema_is_asked_only_where_structured_content_was_changed() -> None:
    never: dict[str, Any] = {"not": {}}
    screened = await make().screen(result(SECRET, structuredContent={"k": "x"}), tool(schema=never), DEADLINE)
    assert screened.release is Release.REDACTED
    value = result("x", structuredContent={"k": SECRET}, isError=True)
    assert (await make().screen(value, tool(schema=never), DEADLINE)).release is Release.REDACTED


def test_patterns_are_matched_in_linear_time() -> None:
    assert stays_valid({"k": "a" * 50 + "!"}, {"properties": {"k": {"pattern": "(a+)+!$"}}})
    assert not stays_valid({"k": "a" * 50 + "?"}, {"properties": {"k": {"pattern": "(a+)+!$"}}})
    assert stays_valid({"k": 5}, {"properties": {"k": {"pattern": "x"}}})


scalars = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.just(SECRET), st.just(f"a {SECRET}"))
schemas = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "maxProperties": st.integers(0, 3),
        "additionalProperties": st.fixed_dictionaries(
            {}, optional={"type": st.sampled_from(["string", "integer"]), "maxLength": st.integers(0, 40)}
        ),
        "propertyNames": st.fixed_dictionaries({}, optional={"maxLength": st.integers(0, 20)}),
    },
)


@settings(deadline=None, max_examples=60)
@given(value=st.dictionaries(st.sampled_from(["a", "b", SECRET]), scalars, max_size=3), schema=schemas)
def test_what_is_released_is_valid_or_an_error_and_holds_no_secret(value: dict[str, Any], schema: Any) -> None:
    answer = result("x", structuredContent=value)
    screened = anyio.run(lambda: make().screen(answer, tool(schema=schema), DEADLINE))
    assert screened.value is not None
    assert SECRET.encode() not in canonical(screened.value)
    if screened.reason is Reason.RESULT_INVALID:
        assert (screened.value["isError"], "structuredContent" in screened.value) == (True, False)
    else:
        assert screened.value is answer or stays_valid(screened.value["structuredContent"], schema)


@pytest.mark.parametrize(("crowd", "threads"), [(1, 0), (2, 1)], ids=["alone", "not alone"])
async def test_a_large_result_leaves_the_loop_as_soon_as_another_call_is_in_flight(crowd: int, threads: int) -> None:
    seen: list[int] = []
    screener = Screener(Noting(seen), SystemClock(), b"k" * 32)
    screener.crowd = lambda: crowd
    value = {"content": [{"type": "text", "text": "x " * 50_000}]}
    screened = await screener.screen(value, None, SystemClock().monotonic() + 10)
    assert screened.value is value
    assert sum(thread != threading.get_ident() for thread in seen) == threads


class Noting:
    """An engine that finds nothing and notes the thread that it was asked in."""

    loaded = True

    def __init__(self, seen: list[int]) -> None:
        self._seen = seen

    async def ready(self) -> None:
        pass

    def scan(self, data: bytes, timeout: float) -> list[Span]:
        self._seen.append(threading.get_ident())
        return []


@pytest.mark.parametrize(("words", "threads"), [(90, 0), (120, 1)])
async def test_what_the_engine_would_be_slow_at_is_not_scanned_on_the_loop(words: int, threads: int) -> None:
    seen: list[int] = []
    value = result('Password="' * words + "plain text " * 1_000)
    screened = await make(Noting(seen)).screen(value, None, DEADLINE)
    assert screened.value is value
    assert sum(thread != threading.get_ident() for thread in seen) == threads
