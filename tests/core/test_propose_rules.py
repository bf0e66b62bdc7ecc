"""What might be said in a policy, from what was recorded: with its evidence, and never what anybody denied."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import tomli
from msgspec.structs import replace

from gateway.core.grounds import SHAPE
from gateway.core.model import (
    Approval,
    ApprovalState,
    Effect,
    Kind,
    Proof,
    Reason,
    Record,
    Shown,
    SinkKind,
)
from gateway.core.policy import Policy
from gateway.core.propose_rules import Advice, Proposals, advice_item, document
from tests.core.cases import NOW, approval_of, policy_of, tool_of

POLICY = """\
upstream = "mail"
[lists]
team = ["*@corp.example"]
[[tool]]
match = "send"
effect = "egress"
sinks = { to = "email" }
payload = ["body"]
[[tool]]
match = "share"
effect = "egress"
sinks = { with = "email" }
known = { with = "team" }
[[tool]]
match = ["note", "copy"]
effect = "write"
sinks = { path = "path" }
[[tool]]
match = "move"
effect = "write"
sinks = { source = "path", target = "path" }
[[tool]]
match = "wipe"
effect = "destructive"
sinks = { path = "path" }
[[tool]]
match = "get*"
effect = "read"
[[rule]]
id = "mail.wide"
tools = ["note", "copy", "get_one"]
decide = "allow"
[[rule]]
id = "mail.star"
tools = "move*"
decide = "ask-unless-proven"
[[rule]]
id = "mail.idle"
tools = "send"
when = "size(args.to) > 100"
decide = "allow"
[[rule]]
id = "mail.exact"
tools = "get_two"
decide = "allow"
[[rule]]
id = "mail.stop"
tools = "wipe"
decide = "block"
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_of(POLICY)


def call(number: int, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any) -> Record:
    """The intent of a call."""
    given: dict[str, Any] = {
        "kind": Kind.INTENT,
        "principal": "os:ann",
        "client": "cursor",
        "upstream": "mail",
        "tool": tool,
        "verdict": "allow",
        "facts": {"shape": SHAPE, "upstream": "ready"},
        "arguments": arguments,
    }
    return Record(id=f"d_{number}", at=NOW + timedelta(hours=number), **{**given, **more})


def asked(number: int, tool: str, effect: Effect, arguments: Mapping[str, Any], **more: Any) -> Approval:
    """A question that a person has approved."""
    row = approval_of(tool_of(effect, tool))
    at = NOW + timedelta(hours=number)
    given = {
        "id": f"a_{number}",
        "arguments": arguments,
        "created_at": at,
        "decided_at": at,
        "decided_by": "os:bob",
        "proof": Proof.LOCAL,
        "reason": Reason.UNPROVEN,
    }
    return replace(row, **{**given, **more})


def advice(policy: Policy, *seen: Record | Approval, times: int = 3) -> tuple[Advice, ...]:
    """What follows from records and approvals, in any order."""
    made = Proposals(policy, times)
    for one in seen:
        if isinstance(one, Record):
            made.take(one)
    found = made.of([one for one in seen if isinstance(one, Approval)])
    tomli.loads(document(found))
    return found


def labels(policy: Policy, *seen: Record | Approval) -> list[Advice]:
    return [one for one in advice(policy, *seen) if one.kind == "label"]


def test_a_tool_that_nobody_labelled_gets_a_label_with_what_its_calls_say(policy: Policy) -> None:
    seen = [
        call(1, "post_page", {"url": "https://a.example/x", "to": "a@b.example", "text": "one\ntwo", "page_id": "p1"}),
        call(
            2, "post_page", {"url": "https://b.example/y", "to": "c@d.example", "text": "x", "account": "a 1", "n": 3}
        ),
        asked(3, "post_page", Effect.DESTRUCTIVE, {}),
        asked(4, "post_page", Effect.DESTRUCTIVE, {}, state=ApprovalState.DENIED),
    ]
    (one,) = labels(policy, *seen)
    assert tomli.loads(one.text)["tool"] == [
        {
            "match": "post_page",
            "effect": "egress",
            "sinks": {"account": "account", "page_id": "id", "to": "email", "url": "url"},
            "payload": ["text"],
        }
    ]
    assert one.notes[0] == "called 2 times, 2026-11-22 to 2026-11-22: d_1, d_2"
    assert one.notes[1] == "approved 1 times by os:bob, 2026-11-22 to 2026-11-22: a_3; denied 1 times"
    assert (one.evidence.count, one.evidence.ids) == (2, ["d_1", "d_2"])


def test_a_read_gets_no_sinks_and_what_was_only_refused_counts_as_a_call(policy: Policy) -> None:
    (one,) = labels(policy, call(1, "list_all", {"path": "/a"}, kind=Kind.OUTCOME, verdict="block"))
    assert tomli.loads(one.text)["tool"] == [{"match": "list_all", "effect": "read"}]
    assert "approved never; denied 0 times" in one.notes[1]


def test_hints_of_the_upstream_raise_what_is_proposed(policy: Policy) -> None:
    told = {"shape": SHAPE, "hints": ["destructive"]}
    (one,) = labels(policy, call(1, "read_all", facts=told))
    assert tomli.loads(one.text)["tool"][0]["effect"] == "destructive"


@pytest.mark.parametrize(
    "record",
    [
        call(1, "odd name\n"),
        call(1, "mail://x", method="resources/read"),
        call(1, "x", facts={}),
        call(1, "x", upstream=""),
        call(1, "x", kind=Kind.APPROVAL),
        call(1, "send"),
    ],
    ids=["name", "resource", "no facts", "unknown", "no call", "labelled"],
)
def test_nothing_is_proposed_for_what_is_no_unlabelled_tool(policy: Policy, record: Record) -> None:
    assert labels(policy, record) == []


def lists(policy: Policy, *seen: Approval, times: int = 3) -> list[Advice]:
    return [one for one in advice(policy, *seen, times=times) if one.kind == "list"]


def send(number: int, to: Any = "Eve@x.example", **more: Any) -> Approval:
    return asked(number, "send", Effect.EGRESS, {"to": to, "body": "hello"}, **more)


def test_a_value_that_was_approved_often_enough_is_proposed_for_a_list(policy: Policy) -> None:
    (one,) = lists(policy, send(1), send(2, ["eve@x.example", "once@x.example"]), send(3))
    assert one.lists == {"mail-send-to": ("eve@x.example",)}
    known = {"match": "send", "known": {"to": "mail-send-to"}}
    assert tomli.loads(document([one])) == {"lists": {"mail-send-to": ["eve@x.example"]}, "tool": [known]}
    assert one.notes == ("`eve@x.example` approved 3 times by os:bob, 2026-11-22 to 2026-11-22: a_1, a_2, a_3",)
    assert lists(policy, send(1), send(2)) == []
    assert len(lists(policy, send(1), send(2), times=2)) == 1


@pytest.mark.parametrize(
    "seen",
    [
        (send(1), send(2), send(3), send(4, state=ApprovalState.DENIED)),
        (send(1, followed_by="a_9"), send(9, "other@x.example", follows="a_1"), send(2), send(3), send(4)),
        tuple(send(n, shown=Shown(redacted=True)) for n in range(3)),
        tuple(send(n, "*@x.example") for n in range(3)),
        tuple(send(n, "no address") for n in range(3)),
        tuple(send(n, "e\u200bve@x.example") for n in range(3)),
        tuple(send(n, state=ApprovalState.EXPIRED, decided_at=None) for n in range(3)),
        tuple(asked(n, "wipe", Effect.DESTRUCTIVE, {"path": "/tmp/a"}) for n in range(3)),
        tuple(asked(n, "get_it", Effect.READ, {"path": "/tmp/a"}) for n in range(3)),
        tuple(asked(n, "unknown", Effect.EGRESS, {"to": "eve@x.example"}) for n in range(3)),
        tuple(asked(n, "share", Effect.EGRESS, {"with": "ann@corp.example"}) for n in range(3)),
        tuple(asked(n, "move", Effect.WRITE, {"source": "/a", "target": "/b"}, reason=Reason.RULE) for n in range(3)),
    ],
    ids=[
        *("denied", "edited", "redacted", "pattern", "no address", "hidden", "expired", "destructive", "read"),
        *("unlabelled", "listed", "several sinks"),
    ],
)
def test_no_value_is_proposed_that_was_not_plainly_approved(policy: Policy, seen: tuple[Approval, ...]) -> None:
    assert lists(policy, *seen) == []


def test_a_value_for_a_list_that_is_there_is_to_be_added_to_it(policy: Policy) -> None:
    (one,) = lists(policy, *(asked(n, "share", Effect.EGRESS, {"with": "eve@x.example"}) for n in range(3)))
    assert (one.lists, one.text) == ({"team": ("eve@x.example",)}, "")
    assert one.notes[-1] == "these values are to be added to list `team`"
    assert document([one]).startswith("[lists]\n# `eve@x.example` approved 3 times")


def test_where_a_rule_asks_always_a_rule_with_the_list_is_proposed(policy: Policy) -> None:
    asks = [asked(n, "note", Effect.WRITE, {"path": "/tmp/a"}, reason=Reason.RULE) for n in range(3)]
    (one,) = lists(policy, *asks)
    (rule,) = tomli.loads(one.text)["rule"]
    assert (rule["id"], rule["decide"], rule["tools"]) == ("mail.note.listed", "allow", "note")
    listed = POLICY.replace("[lists]\n", '[lists]\nmail-note-path = ["/tmp/a"]\n')
    policy_of(listed.replace('[[rule]]\nid = "mail.wide"', f'{one.text}\n[[rule]]\nid = "mail.wide"'))


def narrower(policy: Policy, *seen: Record) -> dict[str, Advice]:
    return {one.name: one for one in advice(policy, *seen) if one.kind in ("narrower", "unused")}


def test_a_rule_is_narrowed_to_what_it_was_used_for(policy: Policy) -> None:
    seen = [call(n, "note", rules=("mail.wide",)) for n in (1, 1, 2)] + [call(3, "move_it", rules=("mail.star",))]
    found = narrower(policy, *seen)
    wide = found["mail.wide"]
    assert tomli.loads(wide.text)["rule"] == [{"id": "mail.wide", "tools": ["note"]}]
    assert "never used: `mail/copy`, `mail/get_one`" in wide.notes
    assert "in the busiest hour 2" in wide.notes
    assert "clients: cursor 3" in wide.notes
    assert tomli.loads(found["mail.star"].text)["rule"] == [{"id": "mail.star", "tools": ["move_it"]}]


def test_a_rule_that_allowed_nothing_is_named_and_blocks_are_left_alone(policy: Policy) -> None:
    found = narrower(policy, call(1, "get_two", rules=("mail.exact",)))
    assert {name: one.kind for name, one in found.items()} == {
        "mail.wide": "unused",
        "mail.star": "unused",
        "mail.idle": "unused",
    }
    assert found["mail.idle"].text == ""


def test_a_rule_of_all_upstreams_names_the_tools_whole() -> None:
    both = policy_of('[[rule]]\nid = "all"\ntools = "*/get*"\ndecide = "allow"\n')
    found = narrower(both, call(1, "get_it", rules=("all",)))
    assert tomli.loads(found["all"].text)["rule"] == [{"id": "all", "tools": ["mail/get_it"]}]
    many = [call(n, f"get_{n}", rules=("all",)) for n in range(51)]
    assert narrower(both, *many) == {}


def test_without_calls_nothing_is_said_of_rules(policy: Policy) -> None:
    assert narrower(policy) == {}
    assert document(()) == ""


def test_evidence_names_some_ids_and_counts_the_rest(policy: Policy) -> None:
    (one,) = labels(policy, *(call(n, "post_it") for n in range(7)))
    assert one.notes[0].endswith("d_0, d_1, d_2, d_3, d_4 and 2 more")
    item = advice_item(one)
    assert item["evidence"]["count"] == 7
    assert item["evidence"]["first"] == "2026-11-22T12:00:00.000000Z"
    unused = advice_item(narrower(policy, call(1, "note"))["mail.wide"])
    assert (unused["evidence"]["count"], unused["evidence"]["first"], unused["lists"]) == (0, "", {})


def test_names_that_toml_must_quote_are_quoted(policy: Policy) -> None:
    (one,) = labels(policy, call(1, "post_it", {"a b": "a@b.example", 'q"': "x\ny"}))
    (entry,) = tomli.loads(one.text)["tool"]
    assert (entry["sinks"], entry["payload"]) == ({"a b": SinkKind.EMAIL.value}, ['q"'])
