"""Tests of policies: what they can say, what is wrong in them, and that a false expectation is told."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gateway.core.model import SinkKind, Surface, Verdict
from gateway.core.policy import Known, Policy
from gateway.core.problems import Problem
from gateway.core.section import Section
from gateway.core.trials import Outcome, Trial, play, read_trials
from tests.core.cases import KNOWN, policy_of

DAY = date(2026, 11, 22)
POLICY = """\
upstream = "mail"
[lists]
team = ["*@corp.example"]
[[tool]]
match = "send"
effect = "egress"
sinks = { to = "email" }
payload = ["body"]
known = { to = "team" }
[[tool]]
match = ["note", "move"]
effect = "write"
sinks = { path = "path" }
[[tool]]
match = "get"
effect = "read"
[[rule]]
id = "mail.bulk"
tools = "send"
when = "session.calls_10m > 20"
decide = "block"
[[rule]]
id = "mail.send"
tools = "send"
decide = "ask-unless-proven"
[[rule]]
id = "mail.staff"
tools = "note"
clients = ["claude-code"]
when = '"staff" in principal.roles && now > timestamp("2026-11-22T10:00:00Z")'
decide = "allow"
rate = "2/hour"
set = { mode = "safe" }
drop = ["force"]
[[rule]]
id = "mail.move"
tools = "move"
decide = "ask"
approve = { proof = "signed" }
[[budget]]
id = "mail.notes"
tools = "note"
per = "day"
calls = 3
over = "block"
[loop]
same_call = 2
over = "block"
[[rule]]
id = "mail.inbox"
resources = "mail://inbox/*"
decide = "ask"
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_of(POLICY)


def read(policy: Policy, text: str, known: Known = KNOWN) -> tuple[tuple[Trial, ...], tuple[Problem, ...]]:
    return read_trials("policies/mail.test.toml", text, policy, known, DAY)


def one(policy: Policy, text: str) -> Outcome:
    """The outcome of the one test in a text without problems."""
    trials, problems = read(policy, text)
    assert [str(problem) for problem in problems] == []
    (trial,) = trials
    return play(trial, policy)


IT = '[[test]]\nname = "it"\nupstream = "mail"\n'
SEND = IT + 'tool = "send"\n'
NOTE = IT + 'tool = "note"\n'


@pytest.mark.parametrize(
    "text",
    [
        SEND + 'arguments = { to = "eve@x.example" }\nexpect = "ask"\nreason = "unproven"\nrule = "mail.send"',
        SEND + 'arguments = { to = "eve@x.example" }\norigins = { to = "prompt" }\nexpect = "allow"\nreason = "proven"',
        SEND + 'arguments = { to = "eve@x.example" }\norigins = { "eve@x.example" = ["trusted"] }\nexpect = "allow"',
        SEND + 'arguments = { to = "eve@x.example" }\norigins = { "eve@y.example" = "prompt" }\nexpect = "ask"',
        SEND + 'arguments = { to = "eve@x.example" }\nsession = { tainted = false }\nexpect = "allow"\n'
        'rule = ["mail.send"]',
        SEND + 'arguments = { to = "ann@corp.example" }\nexpect = "allow"\neffect = "egress"\ntier = "high"',
        SEND + 'session = { calls_10m = 21, consequential = 3, private = false }\nexpect = "block"\n'
        'rule = ["mail.bulk"]',
        NOTE + 'client = "claude-code"\nroles = "staff"\narguments = { path = "a", force = true }\nexpect = "allow"\n'
        'set = { mode = "safe" }\ndrop = "force"\nprincipal = "os:ann"\nknown_by = "token"\nisolation = 2',
        NOTE + 'client = "claude-code"\nroles = ["staff"]\nused = { "mail.staff" = 2 }\nexpect = "ask"\n'
        'reason = "rate-exceeded"',
        NOTE + 'client = "claude-code"\nroles = ["staff"]\nat = 2026-11-22T10:30:00+02:00\nexpect = "ask"\nrule = ""\n'
        'reason = "tier-default"\nproof = "client"',
        IT + 'tool = "move"\nexpect = "ask"\nproof = "signed"',
        NOTE + 'spent = { "mail.notes" = 3 }\nexpect = "block"\nrule = ["mail.notes"]\nreason = "budget-exceeded"',
        NOTE + 'spent = { "mail.notes" = 1.5 }\nexpect = "ask"',
        NOTE + 'session = { repeated = 2, refused = 1 }\nexpect = "block"\nrule = "[loop]"\nreason = "loop"',
        IT + 'tool = "move"\nsession = { raised = "honeytoken" }\nexpect = "ask"\nreason = "session-raised"',
        IT + 'tool = "zap"\nexpect = "ask"\neffect = "destructive"\nproof = "local"',
        IT + 'tool = "get"\nannotations = { readOnlyHint = false }\nexpect = "ask"\n'
        'effect = "write"',
        IT + 'resource = "mail://inbox/1"\nlisted = false\nexpect = "ask"\n'
        'rule = "mail.inbox"',
        IT + 'prompt = "greet"\nexpect = "allow"',
        IT + 'method = "completion/complete"\nexpect = "allow"',
    ],
)  # fmt: skip
def test_what_is_as_expected_has_no_failures(policy: Policy, text: str) -> None:
    assert one(policy, text).failures == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SEND + 'expect = "allow"', ["expected allow, found ask"]),
        (SEND + 'expect = "ask"\nrule = ["mail.bulk"]', ["expected `mail.bulk`, found `mail.send`"]),
        (SEND + 'expect = "ask"\nrule = "mail.bulk"', ["expected `mail.bulk` among"]),
        (SEND + 'expect = "ask"\nrule = ""', ["expected no rule, found `mail.send`"]),
        (SEND + 'expect = "ask"\nreason = "rule"', ["expected reason `rule`, found `unproven`"]),
        (SEND + 'expect = "ask"\nproof = "signed"', ["expected proof `signed`, found `local`"]),
        (SEND + 'expect = "ask"\neffect = "write"\ntier = "write"', ["expected effect", "expected tier"]),
        (NOTE + 'expect = "ask"\nset = { mode = "safe" }', ["expected `mode` set to `'safe'`, found no such argument"]),
        (
            NOTE + 'expect = "ask"\narguments = { mode = "safe" }\nset = { mode = "safe" }',
            ["expected `mode` to be set by a rule"],
        ),
        (NOTE + 'expect = "ask"\narguments = { n = 1 }\nset = { n = true }', ["expected `n` set to `True`, found `1`"]),
        (NOTE + 'expect = "ask"\ndrop = ["force"]', ["expected `force` to be dropped"]),
        (
            SEND + 'session = { calls_10m = 21 }\nexpect = "block"\ndrop = ["to"]',
            ["expected changed arguments, and the call is blocked"],
        ),
    ],
)
def test_what_is_otherwise_is_told(policy: Policy, text: str, said: list[str]) -> None:
    failures = one(policy, text).failures
    assert len(failures) == len(said)
    for failure, begin in zip(failures, said, strict=True):
        assert failure.startswith(begin)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["missing: expected at least one test"]),
        ("x", ["not valid TOML"]),
        ('[[test]]\nname = "it"\ntool = "send"\nexpect = "ask"', ["missing: expected whose tool it is"]),
        (SEND + 'upstreams = "mail"\nexpect = "ask"', ["unknown key"]),
        (SEND, ["missing: expected allow, ask or block"]),
        (SEND + 'expect = "maybe"', ["expected one of allow, ask, block"]),
        (SEND + 'expect = "allow"\nproof = "local"', ["expected only beside expect"]),
        (SEND + 'prompt = "x"\nexpect = "ask"', ["expected exactly one of tool, resource, prompt, method"]),
        (IT + 'expect = "ask"', ["expected exactly one of"]),
        ('[[test]]\nupstream = "mail"\ntool = "send"\nexpect = "ask"', ["missing: expected what the test shows"]),
        ('upstream = "mial"\n[[test]]\nname = "it"\ntool = "send"\nexpect = "ask"', ["unknown upstream `mial`"]),
        (SEND + 'client = "curser"\nexpect = "ask"', ["unknown client `curser`"]),
        (SEND + 'expect = "ask"\nrule = "mail.sned"', ["unknown rule `mail.sned`"]),
        (SEND + 'expect = "ask"\nused = { "mail.send" = 1 }', ["unknown rule `mail.send`"]),
        (NOTE + 'expect = "ask"\nspent = { "mail.note" = 1 }', ["unknown budget `mail.note`"]),
        (NOTE + 'expect = "ask"\nspent = { "mail.notes" = -1 }', ["expected a number from 0"]),
        (SEND + 'expect = "ask"\narguments = { a = [{ b = 2026-11-22 }] }', ["expected values that JSON can carry"]),
        (SEND + 'expect = "ask"\norigins = { to = "promt" }', ["expected one of prompt, argument, trusted"]),
        (SEND + 'expect = "ask"\nat = 2026-11-22T10:00:00', ["expected a time with its zone"]),
        (SEND + 'expect = "ask"\narguments = { at = 2026-11-22 }', ["expected values that JSON can carry"]),
        (SEND + 'expect = "ask"\narguments = [1]', ["expected a table"]),
        (SEND + 'expect = "ask"\nsession = { taint = true }', ["unknown key"]),
        (SEND + 'expect = "ask"\nat = 0001-01-01T00:00:00+14:00', ["expected a time from 1970 to 9998"]),
        (SEND + 'expect = "ask"\nat = 9999-12-31T23:59:59-14:00', ["expected a time from 1970 to 9998"]),
        (SEND + 'expect = "ask"\nat = 1969-12-31T23:59:59Z', ["expected a time from 1970 to 9998"]),
        (SEND + 'expect = "ask"\nreason = "unprovn"', ["expected one of"]),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(policy: Policy, text: str, said: list[str]) -> None:
    trials, problems = read(policy, text)
    assert trials == ()
    messages = [problem.message for problem in problems]
    assert len(messages) == len(said), messages
    for message, begin in zip(messages, said, strict=True):
        assert message.startswith(begin)
    assert all(problem.where.startswith("policies/mail.test.toml:") for problem in problems)


def test_what_the_top_of_a_file_says_counts_for_every_test_that_says_nothing_else(policy: Policy) -> None:
    text = (
        'upstream = "mail"\nclient = "claude-code"\nprincipal = "os:ann"\nroles = ["staff"]\n'
        "session = { tainted = false }\n"
        '[[test]]\nname = "one"\ntool = "note"\nexpect = "allow"\n'
        '[[test]]\nname = "two"\ntool = "note"\nclient = "cursor"\nroles = []\nsession = { calls_10m = 4 }\n'
        'expect = "ask"\n'
    )
    trials, problems = read(policy, text)
    assert problems == ()
    one, two = trials
    assert (one.call.client, one.call.principal.id, one.call.principal.roles) == ("claude-code", "os:ann", {"staff"})
    assert (one.call.tainted, two.call.tainted, two.call.calls_10m) == (False, True, 4)
    assert (two.call.client, two.call.principal.roles) == ("cursor", frozenset())
    assert [play(trial, policy).failures for trial in trials] == [(), ()]
    assert [trial.where for trial in trials] == ["policies/mail.test.toml:6", "policies/mail.test.toml:10"]


def test_a_test_that_names_no_time_is_at_noon_of_the_day(policy: Policy) -> None:
    (trial,), _ = read(policy, SEND + 'expect = "ask"')
    assert trial.call.now == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_resource_says_its_uri_by_itself(policy: Policy) -> None:
    text = IT + 'resource = "mail://inbox/1"\nexpect = "ask"'
    (trial,), _ = read(policy, text)
    assert (trial.call.surface, trial.call.arguments) == (Surface.RESOURCES, {"uri": "mail://inbox/1"})


def test_without_known_names_none_is_checked(policy: Policy) -> None:
    text = '[[test]]\nname = "it"\nupstream = "other"\ntool = "x"\nclient = "any"\nexpect = "ask"'
    assert read(policy, text, Known())[1] == ()


def test_rules_that_set_the_same_argument_in_turns_block(policy: Policy) -> None:
    turns = policy_of(
        'upstream = "mail"\n[[tool]]\nmatch = "note"\neffect = "write"\nsinks = { path = "path" }\n'
        '[[rule]]\nid = "a"\ntools = "note"\nwhen = "!has(args.mode)"\ndecide = "allow"\nset = { mode = "x" }\n'
        '[[rule]]\nid = "b"\ntools = "note"\ndecide = "allow"\ndrop = ["mode"]\n'
    )
    outcome = one(turns, NOTE + 'expect = "block"\nreason = "obligation-unmet"')
    assert outcome.failures == ()
    assert outcome.found.decision.verdict is Verdict.BLOCK


def test_the_kinds_of_sinks_are_those_of_the_labels(policy: Policy) -> None:
    outcome = one(policy, SEND + 'arguments = { to = "Eve <eve@x.example>" }\nexpect = "ask"')
    (traced,) = outcome.found.facts.values or ()
    assert (traced.kind, traced.value[0]) == (SinkKind.EMAIL, "\x00")


DOCS = (Path(__file__).parents[2] / "docs" / "policy-tools.md").read_text(encoding="utf-8")


def test_the_tests_of_the_document_are_what_they_say() -> None:
    mail = policy_of(
        'upstream = "mail"\n[lists]\ncolleagues = ["*@corp.example"]\n[[tool]]\nmatch = "send_email"\n'
        'effect = "egress"\nsinks = { to = "email" }\npayload = ["body"]\n'
        '[[rule]]\nid = "mail.to-colleagues"\ntools = "send_email"\n'
        'when = \'size(sinks) > 0 && sinks.all(s, listed(s, "colleagues"))\'\ndecide = "allow"\n'
        '[[rule]]\nid = "mail.otherwise"\ntools = "send_email"\ndecide = "ask-unless-proven"\n'
    )
    trials, problems = read(mail, DOCS.split("```toml\n")[1].split("```")[0])
    assert ([str(problem) for problem in problems], len(trials)) == ([], 3)
    assert [play(trial, mail).failures for trial in trials] == [(), (), ()]


def test_every_key_of_a_test_is_documented_and_no_other(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    monkeypatch.setattr(Section, "close", lambda self, also=(): asked.update(self._known if self.path else ()))
    read(policy, SEND + 'expect = "ask"')
    table = DOCS.split("| key | what it says |")[1].split("\n\n")[0]
    told = {key for line in table.splitlines()[2:] for key in re.findall(r"`([a-z_0-9]+)`", line.split("|")[1])}
    session = {"tainted", "private", "calls_10m", "consequential", "repeated", "refused", "raised"}
    shared = {"upstream", "client", "principal", "roles", "session"}  # read where they stand, here or at the top
    assert told | shared == (asked - session) | shared
    assert all(f"`{key}`" in table for key in session)
