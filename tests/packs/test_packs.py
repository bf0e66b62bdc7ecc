"""Every pack is whole: it parses, labels each tool that its server listed, and its conditions run on them."""

from pathlib import Path

import pytest

from gateway.config import check
from gateway.core.conditions import try_out
from gateway.core.model import Decide, Effect, Surface, Tier
from gateway.core.problems import Severity
from tests.packs.kit import FOLDER, LISTS, PACKS, Listed, listed, policy_of, tool_of

TOOLS = [tool for pack in PACKS for tool in listed(pack)]
UPSTREAMS = 'schema = 1\n[upstreams.files]\ncommand = "files"\nowner = "ada@example.com"\n'
ASKED_FOR = {"filesystem", "git", "github", "fetch", "memory", "sqlite", "postgres", "slack", "mail", "calendar"}
ASKED_FOR |= {"everything", "sequential-thinking", "time"}


def named(tool: Listed) -> str:
    return f"{tool.pack}/{tool.name}"


def test_there_is_a_pack_for_every_kind_of_server_that_was_listed() -> None:
    assert set(PACKS) == set(LISTS) >= ASKED_FOR


@pytest.mark.parametrize("pack", PACKS)
def test_a_pack_parses_without_a_problem_and_names_what_it_was_written_from(pack: str) -> None:
    policy_of(pack)  # which asserts it
    head = (FOLDER / f"{pack}.toml").read_text(encoding="utf-8").split("\nupstream")[0]
    package, version, registry = LISTS[pack]["package"].split()
    assert f"{package} {version} ({registry[1:-1]}" in head.replace("\n# ", " ")
    assert str(LISTS[pack]["seen"]) in head


@pytest.mark.parametrize("tool", TOOLS, ids=named)
def test_every_tool_that_the_server_listed_is_labelled_with_its_tier(tool: Listed) -> None:
    made = tool_of(tool.pack, tool.name, policy_of(tool.pack))
    assert made.labelled
    assert made.tier.value == tool.tier


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.tier != "read"], ids=named)
def test_every_argument_of_what_changes_something_is_a_sink_payload_or_inert(tool: Listed) -> None:
    labels = tool_of(tool.pack, tool.name, policy_of(tool.pack)).labels
    if tool.name == "email_command":  # blocked always: nothing is said of it
        return
    assert set(tool.arguments) <= {*(labels.sinks or {}), *labels.payload, *labels.inert}


@pytest.mark.parametrize("pack", PACKS)
def test_labels_speak_of_no_argument_that_no_tool_of_theirs_has(pack: str) -> None:
    policy = policy_of(pack)
    for entry in policy.files[0].tools:
        mine = [tool for tool in listed(pack) if f"{pack}/{tool.name}" in entry.patterns]
        assert len(mine) == len(entry.patterns)  # and of no tool that there isn't
        have = {argument for tool in mine for argument in tool.arguments}
        labels = entry.labels
        assert {*(labels.sinks or {}), *labels.payload, *labels.inert} <= have
        if labels.preview:
            shows = tool_of(pack, labels.preview.tool, policy)
            assert shows.tier is Tier.READ
            assert {*labels.preview.args} <= set(next(t.arguments for t in listed(pack) if t.name == shows.ref.name))
            assert {*labels.preview.args.values()} <= have


@pytest.mark.parametrize("tool", TOOLS, ids=named)
def test_conditions_run_on_calls_made_from_the_servers_schemas(tool: Listed) -> None:
    policy = policy_of(tool.pack)
    made = tool_of(tool.pack, tool.name, policy)
    for rule in policy.files[0].rules:
        if rule.when is not None and rule.speaks_of(made.ref):
            assert try_out(rule.when, tool.definition["inputSchema"], made, policy.lists) == (), rule.id


@pytest.mark.parametrize("pack", PACKS)
def test_a_tool_that_nobody_listed_is_unlabelled_and_asked_about(pack: str) -> None:
    policy = policy_of(pack)
    made = tool_of(pack, "get_everything", policy)
    assert not made.labelled
    assert made.effect is Effect.DESTRUCTIVE
    loose = [
        rule for rule in policy.files[0].rules if rule.surface is Surface.TOOLS and rule.decide is not Decide.BLOCK
    ]
    assert not any(rule.speaks_of(made.ref) for rule in loose)


def test_packs_are_no_policies_until_they_are_copied(tmp_path: Path) -> None:
    packs = tmp_path / "policies" / "packs"
    packs.mkdir(parents=True, mode=0o700)
    (tmp_path / "upstreams.toml").write_text(UPSTREAMS, encoding="utf-8")
    (tmp_path / "upstreams.toml").chmod(0o600)
    (packs / "git.toml").write_text("nonsense =", encoding="utf-8")
    assert [str(problem) for problem in check(tmp_path, {}) if "packs" in problem.file] == []
    (tmp_path / "policies" / "git.toml").write_text("nonsense =", encoding="utf-8")
    assert [problem.file for problem in check(tmp_path, {}) if problem.severity is Severity.ERROR]


def test_a_pack_is_copied_named_and_owned_and_then_it_is_a_policy(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir(mode=0o700)
    text = (FOLDER / "filesystem.toml").read_text(encoding="utf-8")
    copied = text.replace('upstream = "filesystem"', 'upstream = "files"').replace("you@", "ada@")
    (tmp_path / "policies" / "files.toml").write_text(copied, encoding="utf-8")
    (tmp_path / "upstreams.toml").write_text(UPSTREAMS, encoding="utf-8")
    for path in (tmp_path / "policies" / "files.toml", tmp_path / "upstreams.toml"):
        path.chmod(0o600)
    assert [str(problem) for problem in check(tmp_path, {}) if problem.severity is Severity.ERROR] == []
