"""Resources, prompts and methods under policy: their labels, the rules that speak of them, and what holds without."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.decide import decide, is_question
from gateway.core.model import Decision, Effect, Reason, SinkKind, Surface, Tier, Tool, ToolRef, Trust, Verdict
from gateway.core.policy import Policy
from gateway.core.risk import classify, surface_labels
from tests.core.cases import call_of, facts_of, policy_of, problems_of

SAMPLE, ELICIT, ROOTS, COMPLETE = "sampling/createMessage", "elicitation/create", "roots/list", "completion/complete"
LABELS = """
upstream = "mail"
[[resource]]
match = "mail://inbox/*"
output = { trust = "neutral" }
[[prompt]]
match = "greet"
output = { trust = "trusted" }
"""


def thing(policy: Policy, name: str, surface: Surface, *, listed: bool = True, upstream: str = "mail") -> Tool:
    """A resource, a prompt or a method as the catalogue would make it."""
    ref = ToolRef(upstream, name)
    labels = surface_labels(policy, ref, surface, listed=listed)
    return classify({"annotations": {"destructiveHint": True}}, ref, name, "d1", labels, None, surface)


def decided(policy: Policy, of: Tool, arguments: Mapping[str, Any] | None = None, **facts: Any) -> Decision:
    """What is decided on it."""
    call = call_of(arguments)
    return decide(call, facts_of(of, call, **facts), policy)


@pytest.mark.parametrize(
    ("name", "surface", "trust"),
    [
        ("mail://inbox/7", Surface.RESOURCES, Trust.NEUTRAL),
        ("mail://inbox/7/body", Surface.RESOURCES, Trust.UNTRUSTED),
        ("greet", Surface.PROMPTS, Trust.TRUSTED),
        ("mail://inbox/7", Surface.PROMPTS, Trust.UNTRUSTED),
    ],
)
def test_labels_of_resources_and_prompts_apply_to_their_own_surface(name: str, surface: Surface, trust: Trust) -> None:
    of = thing(policy_of(LABELS), name, surface)
    assert (of.labels.output.trust, of.effect, of.tier) == (trust, Effect.READ, Tier.READ)
    assert not of.labels.fetches


def test_a_file_that_names_the_upstream_labels_before_one_that_does_not() -> None:
    everywhere = '[[resource]]\nmatch = "*"\noutput = { trust = "trusted" }\n'
    policy = policy_of(LABELS, everywhere)
    assert thing(policy, "mail://inbox/7", Surface.RESOURCES).labels.output.trust is Trust.NEUTRAL
    assert thing(policy, "file:///a/b", Surface.RESOURCES, upstream="files").labels.output.trust is Trust.TRUSTED


def test_labels_that_contradict_each_other_count_for_nothing() -> None:
    other = LABELS.replace("neutral", "trusted")
    labels = thing(policy_of(LABELS, other), "mail://inbox/7", Surface.RESOURCES).labels
    assert (labels.output.trust, labels.at) == (Trust.UNTRUSTED, None)


@pytest.mark.parametrize(
    ("name", "surface", "sinks"),
    [
        ("https://example.com/x", Surface.RESOURCES, {"uri": SinkKind.URL}),
        ("mail://x", Surface.RESOURCES, {"uri": SinkKind.TEXT}),
        (COMPLETE, Surface.METHODS, {"argument": SinkKind.TEXT}),
    ],
)
def test_an_unlisted_uri_and_a_completion_count_as_fetches(
    name: str, surface: Surface, sinks: Mapping[str, SinkKind]
) -> None:
    of = thing(policy_of(), name, surface, listed=False)
    assert of.labels.fetches
    assert of.labels.sinks == sinks
    assert of.tier is Tier.READ
    assert not is_question(of)


@pytest.mark.parametrize(
    ("text", "name", "surface", "verdict"),
    [
        ('resources = "mail://secret/*"\ndecide = "block"', "mail://secret/1", Surface.RESOURCES, Verdict.BLOCK),
        ('resources = "mail://secret/*"\ndecide = "block"', "mail://inbox/1", Surface.RESOURCES, Verdict.ALLOW),
        ('resources = "*"\ndecide = "ask"', "mail://a/b/c", Surface.RESOURCES, Verdict.ASK),
        ('prompts = "gre*"\ndecide = "block"', "greet", Surface.PROMPTS, Verdict.BLOCK),
        ('prompts = "gre*"\ndecide = "block"', "mail://gre", Surface.RESOURCES, Verdict.ALLOW),
        ('tools = "*"\ndecide = "block"', "greet", Surface.PROMPTS, Verdict.ALLOW),
        (f'methods = "{COMPLETE}"\ndecide = "ask"', COMPLETE, Surface.METHODS, Verdict.ASK),
        (f'methods = "{SAMPLE}"\ndecide = "allow"', SAMPLE, Surface.METHODS, Verdict.ALLOW),
        (f'methods = "{SAMPLE}"\ndecide = "ask"', SAMPLE, Surface.METHODS, Verdict.BLOCK),
        (f'methods = "{SAMPLE}"\ndecide = "allow"', ROOTS, Surface.METHODS, Verdict.BLOCK),
    ],
)
def test_a_rule_speaks_of_its_own_surface(text: str, name: str, surface: Surface, verdict: Verdict) -> None:
    policy = policy_of(f'upstream = "mail"\n[[rule]]\nid = "r"\n{text}\n')
    assert decided(policy, thing(policy, name, surface), {"uri": name}).verdict is verdict


def test_a_rule_without_an_upstream_speaks_of_all_resources_and_methods() -> None:
    policy = policy_of(
        '[[rule]]\nid = "a"\nresources = "file:///etc/*"\ndecide = "block"\n'
        f'[[rule]]\nid = "b"\nmethods = ["{SAMPLE}"]\ndecide = "allow"\n'
    )
    assert decided(policy, thing(policy, "file:///etc/passwd", Surface.RESOURCES, upstream="files")).rules == ("a",)
    assert decided(policy, thing(policy, SAMPLE, Surface.METHODS, upstream="files")).verdict is Verdict.ALLOW


@pytest.mark.parametrize("method", [SAMPLE, ROOTS])
def test_what_an_upstream_asks_is_blocked_without_a_rule(method: str) -> None:
    policy = policy_of()
    found = decided(policy, thing(policy, method, Surface.METHODS), elicit="url")
    assert (found.verdict, found.reason) == (Verdict.BLOCK, Reason.METHOD_BLOCKED)


def test_an_elicitation_goes_by_its_upstreams_key_and_rules_only_tighten() -> None:
    allowing = policy_of(f'[[rule]]\nid = "r"\nmethods = "{ELICIT}"\ndecide = "allow"\n')
    blocking = policy_of(f'[[rule]]\nid = "r"\nmethods = "{ELICIT}"\ndecide = "block"\n')
    of = thing(allowing, ELICIT, Surface.METHODS)
    assert is_question(of)
    assert of.tier is Tier.HIGH
    assert decided(policy_of(), of, elicit="form").verdict is Verdict.ALLOW
    assert decided(allowing, of, elicit="block").reason is Reason.METHOD_BLOCKED
    assert decided(blocking, of, elicit="form").verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("tools/call", Reason.UNKNOWN_TOOL),
        ("resources/read", Reason.UNKNOWN_RESOURCE),
        ("resources/subscribe", Reason.UNKNOWN_RESOURCE),
        ("prompts/get", Reason.UNKNOWN_PROMPT),
        (COMPLETE, Reason.UNKNOWN_PROMPT),
    ],
)
def test_what_nobody_offers_is_blocked_with_its_own_reason(method: str, reason: Reason) -> None:
    call = replace(call_of(), method=method)
    assert decide(call, facts_of(None, call), policy_of()).reason is reason


def test_a_plan_of_one_surface_is_not_used_for_another() -> None:
    policy = policy_of('upstream = "mail"\n[[rule]]\nid = "r"\nprompts = "same"\ndecide = "block"\n')
    assert decided(policy, thing(policy, "same", Surface.PROMPTS)).verdict is Verdict.BLOCK
    assert decided(policy, thing(policy, "same", Surface.RESOURCES)).verdict is Verdict.ALLOW


def test_hidden_and_possible_are_told_by_surface() -> None:
    policy = policy_of(
        'upstream = "mail"\n'
        '[[rule]]\nid = "a"\nprompts = "gone"\ndecide = "block"\n'
        f'[[rule]]\nid = "b"\nmethods = "{SAMPLE}"\ndecide = "allow"\nclients = "cursor"\n'
        f'[[rule]]\nid = "c"\nmethods = "{ROOTS}"\ndecide = "block"\n'
    )
    assert policy.hides(ToolRef("mail", "gone"), Surface.PROMPTS)
    assert not policy.hides(ToolRef("mail", "gone"))
    assert policy.may_allow(ToolRef("mail", SAMPLE), Surface.METHODS, "cursor")
    assert not policy.may_allow(ToolRef("mail", SAMPLE), Surface.METHODS, "claude-code")
    assert not policy.may_allow(ToolRef("mail", ROOTS), Surface.METHODS, "cursor")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prompts = "greet"\ndecide = "allow"\nset = { a = 1 }', "expected only in a rule of tools"),
        ('resources = "x://y"\ndecide = "allow"\ndrop = ["a"]', "expected only in a rule of tools"),
        (f'methods = "{SAMPLE}"\ndecide = "ask"', "it is blocked"),
        ('methods = "sampling/createMesage"\ndecide = "block"', "unknown method"),
    ],
)
def test_what_only_tools_can_have_is_said_at_load(text: str, said: str) -> None:
    assert any(said in line for line in problems_of(f'upstream = "mail"\n[[rule]]\nid = "r"\n{text}\n'))


def test_a_prompt_pattern_without_an_upstream_names_one() -> None:
    assert any("upstream/name" in line for line in problems_of('[[prompt]]\nmatch = "greet"\n'))
    assert any("missing" in line for line in problems_of('upstream = "mail"\n[[resource]]\n'))
