"""A hypothetical call explained: what every rule says of it, and what would have changed the answer."""

import pytest
from msgspec.structs import replace

from gateway.core.model import Principal, Surface, ToolRef
from gateway.core.policy import Policy
from gateway.core.suppose import Supposed, rehearse
from gateway.core.whatif import explain, explained_item, explained_sections
from tests.core.cases import NOW, policy_of

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
match = "note"
effect = "write"
sinks = {}
payload = ["text"]
[[rule]]
id = "mail.bulk"
tools = "send"
when = "args.n > 20"
decide = "block"
[[rule]]
id = "mail.staff"
tools = "send"
clients = ["cursor"]
decide = "allow"
[[rule]]
id = "mail.send"
tools = "send"
decide = "ask-unless-proven"
approve = { by = "role:admin", approvers = 2, proof = "signed" }
[[rule]]
id = "mail.rated"
tools = "note"
decide = "allow"
rate = "1/hour"
set = { mode = "safe" }
[[rule]]
id = "mail.read"
resources = "mail://*"
decide = "block"
"""
SEND = Supposed(ToolRef("mail", "send"), NOW, arguments={"to": "eve@x.example", "n": 1}, client="claude-code")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_of(
        POLICY, house='[[rule]]\nid = "house.large"\ntools = "mail/*"\nwhen = "size(args.to) > 1"\ndecide = "ask"\n'
    )


def told(of: Supposed, policy: Policy) -> dict[str, tuple[str, str]]:
    """What each rule says."""
    return {one.id: (one.says, one.verdict) for one in explain(of, policy).sayings}


def otherwise(of: Supposed, policy: Policy) -> dict[str, str]:
    """What would have changed the answer, and the answer then."""
    return {one.what: one.verdict for one in explain(of, policy, ["claude-code", "cursor"]).variations}


def test_every_rule_that_speaks_of_the_tool_says_something(policy: Policy) -> None:
    assert told(SEND, policy) == {
        "house.large": ("decides", "ask"),
        "mail.bulk": ("does not match", ""),
        "mail.staff": ("not for this caller", ""),
        "mail.send": ("decides", "ask"),
    }
    assert explain(SEND, policy).elsewhere == 2


def test_a_rule_that_another_one_outruns_would_have_decided(policy: Policy) -> None:
    assert told(replace(SEND, client="cursor"), policy)["mail.send"] == ("would decide", "ask")
    assert told(replace(SEND, client="cursor"), policy)["mail.staff"] == ("would decide", "allow")


def test_a_rule_whose_condition_errs_is_named_as_such(policy: Policy) -> None:
    bad = replace(SEND, arguments={"to": "eve@x.example"})
    assert told(bad, policy)["mail.bulk"] == ("fails", "block")
    large = replace(SEND, arguments={"to": "x", "n": 2**70})
    assert told(large, policy)["mail.bulk"] == ("fails", "block")


def test_what_would_have_changed_the_answer_was_decided_anew(policy: Policy) -> None:
    alone = policy_of(POLICY)
    assert otherwise(SEND, alone) == {
        "the session had read nothing untrusted": "allow",
        "without argument `n`": "block",
        "client `cursor`": "allow",
    }  # and no origin: a value of one character proves nothing
    found = otherwise(replace(SEND, arguments={"to": "eve@x.example", "n": 21}), alone)
    assert found["without rule `mail.bulk`"] == "ask"
    assert "without argument `to`" not in found
    clean = otherwise(replace(SEND, tainted=False), alone)
    assert clean["the session had read something untrusted"] == "ask"


def test_values_of_the_prompt_would_have_spared_the_question(policy: Policy) -> None:
    long = replace(SEND, arguments={"to": "eve@x.example", "n": 1234})
    only = policy_of(POLICY.replace('when = "args.n > 20"', 'when = "args.n > 2000"'))
    assert otherwise(long, only)["every value stands in the user's prompt"] == "allow"


def test_a_rate_that_is_used_up_and_a_tool_that_nobody_labelled(policy: Policy) -> None:
    alone = policy_of(POLICY)
    note = Supposed(ToolRef("mail", "note"), NOW, used={"mail.rated": 1})
    assert otherwise(note, alone)["no rate is used"] == "allow"
    zap = Supposed(ToolRef("mail", "list_things"), NOW)
    assert otherwise(zap, alone)["a label that says effect `read`, as is proposed"] == "allow"
    assert any("no label means" in line for line in explain(zap, alone).words)


def test_words_of_a_block_and_of_an_allow_are_those_of_recorded_calls(policy: Policy) -> None:
    alone = policy_of(POLICY)
    blocked = explain(replace(SEND, arguments={"to": "a@b.example", "n": 30}), alone)
    assert any("nothing else lifts a block" in line for line in blocked.words)
    allowed = explain(replace(SEND, client="cursor"), alone)
    assert any("without `mail.staff`" in line for line in allowed.words)


def test_the_item_has_all_of_it(policy: Policy) -> None:
    item = explained_item(explain(SEND, policy, ["cursor"]))
    assert (item["verdict"], item["reason"], item["rules"]) == ("ask", "rule", ["house.large", "mail.send"])
    assert item["requirement"] == {"proof": "signed", "by": ["role:admin"], "approvers": 2, "timeout_s": 600.0}
    assert item["unproven"] == [{"place": "to", "value": "eve@x.example"}, {"place": "n", "value": "1"}]
    assert (item["labelled_at"], item["effect"], item["tier"]) == ("policies/p0.toml:5", "egress", "high")
    assert item["rule_at"] == "policies/house.toml:2, policies/p0.toml:26"
    assert [one["rule"] for one in item["sayings"]] == ["house.large", "mail.bulk", "mail.staff", "mail.send"]
    allowed = explained_item(explain(Supposed(ToolRef("mail", "note"), NOW), policy_of(POLICY)))
    assert (allowed["requirement"], allowed["arguments"]) == (None, {"mode": "safe"})


def test_the_screen_tells_the_same_to_people(policy: Policy) -> None:
    shown = dict(explained_sections(explain(SEND, policy)))
    assert shown["verdict"][0].startswith("ask: rule, ")
    assert shown["rule"] == ["`house.large` at policies/house.toml:2", "`mail.send` at policies/p0.toml:26"]
    assert shown["needs"] == ["a yes of 2 people (role:admin) with proof `signed` or stronger, within 0:10:00"]
    assert "2 speak of other tools" in shown["rules"]
    zap = dict(explained_sections(explain(Supposed(ToolRef("mail", "zap"), NOW), policy_of(POLICY))))
    assert zap["what"] == ["effect destructive, tier high (nobody labelled it)"]
    assert zap["needs"][0].startswith("a yes of one person with proof `local`")
    failed = dict(explained_sections(explain(replace(SEND, arguments={}), policy)))
    assert "mail.bulk" in failed["detail"][0]


def test_resources_prompts_and_completions_are_explained_too(policy: Policy) -> None:
    uri = Supposed(ToolRef("mail", "mail://1"), NOW, Surface.RESOURCES, {"uri": "mail://1"})
    assert explain(uri, policy).found.decision.rules == ("mail.read",)
    assert (
        rehearse(replace(uri, ref=ToolRef("mail", "x"), surface=Surface.PROMPTS), policy).decision.verdict.word
        == "allow"
    )
    completion = replace(uri, ref=ToolRef("mail", "completion/complete"), surface=Surface.METHODS)
    assert rehearse(completion, policy).tool.labels.fetches
    assert not rehearse(uri, policy).tool.labels.fetches
    assert rehearse(replace(uri, listed=False), policy).tool.labels.fetches


def test_roles_and_annotations_count(policy: Policy) -> None:
    of = Supposed(ToolRef("mail", "note"), NOW, principal=Principal("os:ann", "jwt", frozenset({"admin"})))
    assert rehearse(of, policy).call.principal.roles == {"admin"}
    raised = replace(of, annotations={"destructiveHint": True})
    assert rehearse(raised, policy).tool.effect.value == "destructive"


LIMITS = """\
[[budget]]
id = "sends"
tools = "mail/send"
per = "day"
calls = 3
over = "block"
[[budget]]
id = "notes"
tools = "mail/note"
per = "session"
calls = 2
over = "ask"
[loop]
same_call = 2
same_refusal = 3
over = "block"
"""


def test_budgets_and_loops_say_something_of_the_calls_that_they_count() -> None:
    limited = policy_of(POLICY, limits=LIMITS)
    note = Supposed(ToolRef("mail", "note"), NOW)
    assert told(note, limited) == {
        "mail.rated": ("decides", "allow"),
        "notes": ("has not been reached", ""),
        "[loop]": ("has not been reached", ""),
    }
    spent = replace(note, spent={"notes": 2_000_000})
    assert told(spent, limited)["notes"] == ("decides", "ask")
    assert otherwise(spent, limited)["nothing is used of budgets"] == "allow"
    again = replace(spent, repeated=2)
    assert told(again, limited)["[loop]"] == ("decides", "block")
    assert told(again, limited)["notes"] == ("would decide", "ask")
    assert otherwise(replace(note, refused=3), limited)["the call is the first of its kind"] == "allow"


def test_a_session_that_a_signal_raised_is_asked() -> None:
    raised = Supposed(ToolRef("mail", "note"), NOW, raised="burst")
    assert rehearse(raised, policy_of(POLICY)).decision.reason.value == "session-raised"
