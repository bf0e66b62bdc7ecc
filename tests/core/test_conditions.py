"""Conditions as they are run: what holds, what errs, and limits."""

import logging
from typing import Any

import pytest

from gateway.core.conditions import (
    MAX_BYTES,
    MAX_NODES,
    NESTED_NODES,
    Condition,
    Scene,
    compile_condition,
    listing,
    preload,
    try_out,
)
from gateway.core.decide import decide
from gateway.core.expressions import FIELDS
from gateway.core.model import Effect, SinkKind, Verdict
from gateway.core.policy import Known, parse
from gateway.core.sinks import ValueList
from tests.core.cases import call_of, facts_of, tool_of

LISTS = {"colleagues": ValueList.of(["*@corp.example"])}
TOOL = tool_of(Effect.EGRESS, sinks={"to": SinkKind.EMAIL})


def compiled(text: str) -> Condition:
    condition, problems = compile_condition(text, LISTS)
    assert problems == []
    return condition


def scene_of(arguments: dict[str, Any], **facts: Any) -> Scene:
    call = call_of(arguments)
    return Scene(call, facts_of(TOOL, call, **facts), TOOL, LISTS, frozenset(FIELDS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size(args.to) > 1", True),
        ('size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))', False),
        ('sinks.exists(s, listed(s, "colleagues"))', True),
        ('tool.upstream == "mail" && tool.name == "send" && tool.effect == "egress" && tool.tier == "high"', True),
        ('principal.id == "os:alice" && principal.known_by == "os-user" && principal.roles == []', True),
        ('client.name == "claude-code" && client.registered', True),
        ("session.tainted && session.private && session.calls_10m == 3 && session.consequential == 1", True),
        ("flow.unproven == sinks && flow.sources == []", True),
        ('now > timestamp("2026-11-22T11:59:59Z")', True),
        ("args.nothing == 1 || true", True),
        ("args.nothing == 1 && false", False),
        ('listed(args.to, "colleagues") || true', True),
    ],
)
def test_a_condition_holds_or_not(text: str, expected: bool) -> None:
    scene = scene_of({"to": ["A@corp.example", "b@evil.example"]}, calls_10m=3, consequential=1)
    assert scene.holds(compiled(text)) is expected


@pytest.mark.parametrize(
    "text",
    [
        "args.nothing == 1",
        "args.to > 1",
        'listed(args.to, "colleagues")',
        "1 / size([]) == 1",
        "args.to[9] == 1",
        "size(sinks)",
        "args.to",
        "args.word",
        "9223372036854775807 + 1 > 0",
    ],
)
def test_what_errs_is_told_without_a_value_of_the_call(text: str) -> None:
    result = scene_of({"to": ["hidden"], "word": "hidden"}).holds(compiled(text))
    assert isinstance(result, str)
    assert "hidden" not in result


def test_the_engine_tells_nobody_of_a_failing_list(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert isinstance(scene_of({"to": ["hidden"]}).holds(compiled('listed(args.to, "colleagues")')), str)
    assert [record for record in caplog.records if record.name == "cel"] == []
    assert capfd.readouterr() == ("", "")


def test_what_was_not_compiled_errs() -> None:
    assert isinstance(scene_of({}).holds(Condition("true")), str)
    assert try_out(Condition("true"), {}, TOOL, LISTS) == ("it was not compiled",)


@pytest.mark.parametrize("text", ["1 +", "a b", "'"])
def test_what_is_no_condition_is_a_problem(text: str) -> None:
    condition, problems = compile_condition(text, LISTS)
    assert problems
    assert condition.program is None


@pytest.mark.parametrize(
    ("arguments", "nested", "large"),
    [
        pytest.param({"n": 2**63}, False, True, id="above 64 bits"),
        pytest.param({"n": [{"m": -(2**63) - 1}]}, False, True, id="below 64 bits"),
        pytest.param({"n": [2**63 - 1, -(2**63), True, 1.5, "9" * 30]}, False, False, id="64 bits"),
        pytest.param({"n": "x" * (MAX_BYTES - 8)}, False, False, id="bytes at the limit"),
        pytest.param({"n": "x" * (MAX_BYTES - 7)}, False, True, id="bytes over the limit"),
        pytest.param({"n": [0] * (MAX_NODES - 2)}, False, False, id="values at the limit"),
        pytest.param({"n": [0] * (MAX_NODES - 1)}, False, True, id="values over the limit"),
        pytest.param({"n": [0] * (NESTED_NODES - 1)}, True, True, id="values over the limit for nested macros"),
        pytest.param({"n": "x" * 70_000}, True, True, id="bytes over the limit for nested macros"),
    ],
)
def test_arguments_have_limits(arguments: dict[str, Any], nested: bool, large: bool) -> None:
    assert bool(scene_of(arguments).too_large(nested)) is large


SCHEMA = {
    "properties": {
        "to": {"type": "array"}, "n": {"type": ["integer", "null"]}, "flag": {"type": "boolean"}, "any": True,
        "share": {"type": "number"}, "table": {"type": "object"}, "none": {"type": []},
    },
    "required": ["to"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "schema", "problems"),
    [
        ("size(args.to) > 1", SCHEMA, 0),
        ("args.n > 1", SCHEMA, 1),
        ('has(args.flag) && args.flag && args.any == "" && args.share > 0.0', SCHEMA, 0),
        ("args.to", SCHEMA, 2),
        ("args.to == 1", {"properties": 1, "required": 1}, 2),
        ("size(sinks) == 0", {}, 0),
        ("args.any", SCHEMA, 2),
    ],
)
def test_a_condition_is_tried_on_two_calls_made_from_the_schema(
    text: str, schema: dict[str, Any], problems: int
) -> None:
    assert len(try_out(compiled(text), schema, TOOL, LISTS)) == problems


@pytest.mark.parametrize(("value", "name"), [(1, "colleagues"), ("a", "strangers"), ("a", 1), (None, "colleagues")])
def test_listed_takes_a_string_and_the_name_of_a_list(value: object, name: object) -> None:
    with pytest.raises(ValueError):
        listing(LISTS)(value, name)


def test_the_engine_can_be_loaded_ahead() -> None:
    preload()
    assert listing(LISTS)("a@corp.example", "colleagues")


def test_a_condition_that_is_only_checked_never_holds_and_blocks_what_it_is_asked_of() -> None:
    condition, problems = compile_condition("true", LISTS, compiles=False)
    assert problems == []
    assert isinstance(scene_of({}).holds(condition), str)
    text = '[[rule]]\nid = "a"\nwhen = "args.n == 1"\ntools = "mail/send"\ndecide = "allow"\n'
    policy, wrong = parse({"p.toml": f'owner = "a"\n{text}'}, Known(compiles=False))
    call = call_of({"n": 1})
    decided = decide(call, facts_of(tool_of(Effect.READ), call), policy)
    assert (wrong, decided.verdict) == ((), Verdict.BLOCK)


def test_conditions_of_one_text_are_the_same_whatever_was_compiled() -> None:
    one, other = (compile_condition("true", LISTS, compiles=compiles)[0] for compiles in (True, False))
    assert (one, hash(one)) == (other, hash(other))
    assert one != compile_condition("false", LISTS)[0]
    assert one != "true"
