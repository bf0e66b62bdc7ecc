"""The policy that says what a person confirmed, and nothing that nobody did."""

from datetime import date

import pytest

from gateway.core.model import Effect, ToolRef
from gateway.core.policy import Known, parse
from gateway.core.risk import labels_for
from gateway.initial.labels import Group, Proposed, grouped, policy_text

TOOLS = (
    Proposed("list_notes", Effect.READ),
    Proposed("add_note", Effect.WRITE),
    Proposed("send_note", Effect.EGRESS),
    Proposed("get_note", Effect.READ),
    Proposed("wipe", Effect.DESTRUCTIVE),
)


def effects(text: str, *names: str) -> list[str]:
    """What each tool counts as by the policy; `none` for one that it doesn't label."""
    policy, problems = parse({"policies/notes.toml": text}, Known(frozenset({"notes"})), date(2026, 1, 1))
    assert problems == ()
    found = [labels_for(policy, ToolRef("notes", name)) for name in names]
    return [each.effect.value if each.at is not None else "none" for each in found]


@pytest.mark.parametrize(
    "confirmed",
    [set(), {Group.READS}, {Group.WRITES, Group.HIGH}, set(Group)],
    ids=["nothing", "reads", "writes and high", "everything"],
)
def test_what_is_confirmed_is_labelled_and_nothing_else(confirmed: set[Group]) -> None:
    text = policy_text("notes", "ada@example.com", TOOLS, confirmed, "and so on")
    wanted = [tool.effect.value if tool.group in confirmed else "none" for tool in TOOLS]
    assert effects(text, *(tool.name for tool in TOOLS)) == wanted
    assert all(tool.name in text for tool in TOOLS)


@pytest.mark.parametrize("name", ["*", "get_*", "get_?ote", "a/b", 'x"]\neffect = "read"', ""])
def test_a_name_with_signs_of_a_pattern_labels_nothing(name: str) -> None:
    hostile = Proposed(name, Effect.READ)
    text = policy_text("notes", "ada@example.com", (hostile, TOOLS[1]), set(Group), "and so on")
    assert effects(text, "delete_all", "get_all", "get_note", "add_note") == ["none", "none", "none", "write"]
    assert [tool.name for tool in grouped((hostile,)).get(Group.READS, ())] == []


def test_groups_are_in_order_and_none_is_empty() -> None:
    assert [(group.value, len(tools)) for group, tools in grouped(TOOLS).items()] == [
        ("reads", 2),
        ("writes", 1),
        ("high", 2),
    ]
    assert list(grouped(TOOLS[:1])) == [Group.READS]
