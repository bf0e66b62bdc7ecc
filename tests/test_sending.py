"""Calls that hand their arguments to somebody outside: a secret in them is asked about before anything is sent."""

import pytest

from gateway.core.model import ApprovalState, Done, Held, Kind, Proof, Reason, Refused
from tests.house import POLICY, Model, policy_of

SENDING = (
    POLICY
    + """\
[[tool]]
match = "fetch"
effect = "read"
fetches = true
[[rule]]
id = "up.free"
tools = ["send", "write"]
decide = "allow"
"""
)


def sending() -> Model:
    """A house in which what sends outwards is allowed by rule."""
    house = Model(policy_of(SENDING))
    house.catalogue.tools["up__fetch"] = house.tool("fetch")
    return house


@pytest.mark.parametrize("name", ["send", "fetch"])
async def test_a_secret_in_what_would_leave_is_asked_about_before_anything_is_sent(name: str) -> None:
    house = sending()
    house.approvals.settle = None
    held = await house.call(name, body="a secret")
    assert isinstance(held, Held)
    assert held.approval.reason is Reason.SECRET_FOUND
    assert held.approval.shown.detail == "it would send out fake in arguments.somewhere"
    assert held.approval.requirement.proof is Proof.LOCAL
    assert house.upstreams.sent == []
    house.approvals.settle = ApprovalState.APPROVED
    assert isinstance(await house.call(name, body="a secret"), Done)
    assert house.upstreams.sent == [b'{"body":"a secret"}']  # what was approved is what is sent
    assert house.records.outcomes() == [("ok", "approved")]
    (intent,) = (row for row in house.records.rows if row.kind is Kind.INTENT)
    assert intent.facts["carries"] == ["fake in arguments.somewhere"]


@pytest.mark.parametrize(("name", "body"), [("send", "plain"), ("fetch", "plain"), ("write", "a secret")])
async def test_without_a_secret_or_without_sending_it_out_nobody_is_asked(name: str, body: str) -> None:
    house = sending()
    assert isinstance(await house.call(name, body=body), Done)
    assert "obtain" not in house.effects
    assert all("carries" not in row.facts for row in house.records.rows)


async def test_a_secret_that_would_leave_with_a_blocked_call_changes_nothing() -> None:
    house = Model(policy_of(POLICY + '[[rule]]\nid = "up.no"\ntools = "send"\ndecide = "block"\n'))
    assert isinstance(await house.call("send", body="a secret"), Refused)
    assert house.records.outcomes() == [("blocked", "rule")]
    assert house.upstreams.sent == []
