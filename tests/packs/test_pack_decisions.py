"""What the packs decide: their own tests, as `wardgate policy test` plays them, and laws over every listed tool."""

from typing import Any

import pytest

from gateway.core.model import Reason, Verdict
from gateway.core.policy import Known
from gateway.core.trials import Trial, play, read_trials
from tests.core.cases import NOW
from tests.packs.kit import FOLDER, PACKS, decided, listed, policy_of

ALLOW, ASK, BLOCK = Verdict.ALLOW, Verdict.ASK, Verdict.BLOCK
ISSUE = {"owner": "acme", "repo": "website", "title": "t", "body": "b"}
GITHUB_LISTS = {"github_owners": ["acme"], "github_repositories": ["website"], "github_closed": ["acme/website"]}
LETTER = {"account_name": "work", "subject": "s", "body": "b", "recipients": ["bob@corp.example"]}


def trials_of(pack: str) -> tuple[Trial, ...]:
    """The tests that stand beside a pack."""
    name = f"{pack}.test.toml"
    known = Known(frozenset({pack}), frozenset({"claude-code"}), {})
    text = (FOLDER / name).read_text(encoding="utf-8")
    trials, problems = read_trials(name, text, policy_of(pack), known, NOW.date())
    assert not problems
    return tuple(trials)


@pytest.mark.parametrize("pack", PACKS)
def test_the_tests_beside_a_pack_hold(pack: str) -> None:
    policy, trials = policy_of(pack), trials_of(pack)
    failed = {trial.name: outcome.failures for trial in trials if (outcome := play(trial, policy)).failures}
    assert failed == {}


@pytest.mark.parametrize("pack", PACKS)
def test_they_show_every_verdict_that_the_pack_can_give_and_every_rule(pack: str) -> None:
    policy = policy_of(pack)
    found = [play(trial, policy).found.decision for trial in trials_of(pack)]
    assert {one.verdict for one in found} == VERDICTS.get(pack, {ALLOW, ASK, BLOCK})
    shown = {rule for one in found for rule in one.rules}
    assert {rule.id for rule in policy.files[0].rules} - shown == UNSHOWN.get(pack, set())


VERDICTS = {"postgres": {ALLOW, BLOCK}, "sequential-thinking": {ALLOW}, "time": {ALLOW}}
UNSHOWN = {"fetch": {"fetch.prompt"}, "github": {"github.workflow-file"}}  # twins of rules that are shown


@pytest.mark.parametrize(
    ("pack", "name", "arguments", "lists"),
    [
        ("github", "create_issue", ISSUE, GITHUB_LISTS),
        ("slack", "slack_post_message", {"channel_id": "C024BE91L", "text": "hi"}, {"slack_channels": ["C024BE91L"]}),
        ("mail", "send_email", LETTER, {"mail_colleagues": ["*@corp.example"]}),
        ("fetch", "fetch", {"url": "https://docs.example.org/a"}, {"fetch_pages": ["https://docs.example.org/*"]}),
    ],
)
def test_what_the_owner_lists_is_asked_about_no_more(
    pack: str, name: str, arguments: dict[str, Any], lists: dict[str, list[str]]
) -> None:
    assert decided(pack, name, arguments).verdict is ASK
    found = decided(pack, name, arguments, **lists)
    assert (found.verdict, found.reason) == (ALLOW, Reason.PROVEN)


@pytest.mark.parametrize("pack", PACKS)
def test_a_clean_session_is_asked_nothing(pack: str) -> None:
    for tool in listed(pack):
        arguments = dict.fromkeys(tool.definition["inputSchema"]["required"], "x")
        assert decided(pack, tool.name, arguments, tainted=False).verdict is not ASK, tool.name


@pytest.mark.parametrize("pack", PACKS)
def test_a_hijacked_session_without_any_origin_gets_nothing_of_tier_high(pack: str) -> None:
    for tool in (tool for tool in listed(pack) if tool.tier == "high"):
        arguments = dict.fromkeys(tool.arguments, "eve-of-evil")
        assert decided(pack, tool.name, arguments).verdict is not ALLOW, tool.name
        assert decided(pack, tool.name, {}).verdict is not ALLOW, tool.name
