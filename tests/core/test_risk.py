"""Labels, effects and tiers."""

from typing import Any

import pytest

from gateway.core.model import Effect, Labels, Tier, ToolRef
from gateway.core.policy import parse
from gateway.core.risk import UNLABELLED, classify, labels_for, raised, tier_of
from tests.core.cases import HEAD, labelled, policy_of

READ = {"readOnlyHint": True}
NOT_READ = {"readOnlyHint": False}
DESTROYS = {"destructiveHint": True}


@pytest.mark.parametrize(
    ("effect", "tier"),
    [
        ("read", "read"),
        ("write", "write"),
        ("egress", "high"),
        ("money", "high"),
        ("privilege", "high"),
        ("credential", "high"),
        ("destructive", "high"),
    ],
)
def test_a_tier_follows_from_the_effect(effect: str, tier: str) -> None:
    assert tier_of(Effect(effect)) is Tier(tier)


@pytest.mark.parametrize(
    ("label", "annotations", "expected"),
    [
        pytest.param("read", None, "read", id="no annotations"),
        pytest.param("read", {}, "read", id="empty annotations"),
        pytest.param("read", "rubbish", "read", id="annotations of another type"),
        pytest.param("read", READ, "read", id="read agrees"),
        pytest.param("read", NOT_READ, "write", id="not read-only raises a read"),
        pytest.param("read", {"readOnlyHint": 0}, "read", id="only false is false"),
        pytest.param("read", DESTROYS, "destructive", id="destructive raises a read"),
        pytest.param("write", {**NOT_READ, **DESTROYS}, "destructive", id="destructive raises a write"),
        pytest.param("write", {**READ, **DESTROYS}, "write", id="destructive says nothing of a read-only tool"),
        pytest.param("write", {"destructiveHint": False, **READ}, "write", id="nothing lowers"),
        pytest.param("write", NOT_READ, "write", id="an absent destructive hint raises nothing"),
        pytest.param("destructive", READ, "destructive", id="high stays"),
        pytest.param("money", {**NOT_READ, **DESTROYS}, "money", id="high keeps its effect"),
    ],
)
def test_an_upstreams_own_annotations_only_raise(label: str, annotations: Any, expected: str) -> None:
    assert raised(Effect(label), annotations) is Effect(expected)


def test_a_tool_that_nobody_labelled_is_high() -> None:
    tool = labelled(policy_of(""), "send", annotations=READ)
    assert (tool.effect, tool.tier, tool.labelled) == (Effect.DESTRUCTIVE, Tier.HIGH, False)
    assert tool.labels is UNLABELLED


MAIL = """
upstream = "mail"
[[tool]]
match = ["list_*", "get_?"]
effect = "read"
output = { trust = "trusted" }
[[tool]]
match = "*"
effect = "write"
"""
EVERY = """
[[tool]]
match = "*/list_*"
effect = "money"
[[tool]]
match = "files/get_?"
effect = "read"
"""


@pytest.mark.parametrize(
    ("upstream", "name", "effect"),
    [
        pytest.param("mail", "list_all", "read", id="the first entry counts"),
        pytest.param("mail", "get_x", "read", id="one character"),
        pytest.param("mail", "get_xy", "write", id="a later entry takes the rest"),
        pytest.param("files", "list_all", "money", id="a file for all"),
        pytest.param("files", "get_x", "read", id="by upstream and tool"),
        pytest.param("files", "other", "destructive", id="nobody's"),
        pytest.param("mail", "a/b", "destructive", id="a run crosses no slash"),
    ],
)
def test_a_file_that_names_the_upstream_beats_one_that_does_not(upstream: str, name: str, effect: str) -> None:
    assert labels_for(policy_of(EVERY, MAIL), ToolRef(upstream, name)).effect is Effect(effect)


def test_files_that_say_the_same_agree() -> None:
    labels = labels_for(policy_of(MAIL, MAIL), ToolRef("mail", "list_all"))
    assert labels.effect is Effect.READ


def test_files_that_differ_label_nothing() -> None:
    other = MAIL.replace('"read"', '"egress"')
    policy, problems = parse({"a.toml": HEAD + MAIL, "b.toml": HEAD + other})
    assert labels_for(policy, ToolRef("mail", "list_all")) is UNLABELLED
    assert labels_for(policy, ToolRef("mail", "other")).effect is Effect.WRITE
    assert [problem.key for problem in problems] == ["match"]


def test_a_tool_keeps_what_it_was_made_of() -> None:
    ref = ToolRef("mail", "send")
    tool = classify({"name": "send"}, ref, "mail__send", "d9", Labels(effect=Effect.EGRESS), None)
    assert (tool.ref, tool.exposed_as, tool.digest, tool.tier) == (ref, "mail__send", "d9", Tier.HIGH)
