"""What is proposed for a tool that nobody labelled: by its name, and never less than its upstream's own hints."""

from typing import Any

import pytest

from gateway.core.model import Effect, Tier
from gateway.core.policy import Policy
from gateway.core.proposal import propose
from tests.core.cases import labelled, policy_of

NOTHING: Policy = policy_of("")


def proposed(name: str, annotations: dict[str, Any] | None = None) -> Effect:
    return propose(labelled(NOTHING, name, annotations=annotations))


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("get_event", Effect.READ),
        ("searchIssues", Effect.READ),
        ("HTTPStatus", Effect.READ),
        ("create_event", Effect.WRITE),
        ("get_email", Effect.READ),  # the verb leads, and a mail is what is read
        ("getEmail", Effect.READ),
        ("list_pull_request_commit", Effect.READ),
        ("list_payment", Effect.READ),
        ("get_role", Effect.READ),
        ("get_workflow_run", Effect.READ),
        ("get_password", Effect.CREDENTIAL),  # of nouns only credentials raise a read
        ("show_email_token", Effect.CREDENTIAL),
        ("send_email", Effect.EGRESS),
        ("email_search", Effect.EGRESS),  # no verb leads: any word counts
        ("post", Effect.EGRESS),
        ("order_get", Effect.MONEY),
        ("get_and_delete", Effect.DESTRUCTIVE),  # the worst that the name says
        ("read_and_forward_email", Effect.EGRESS),
        ("find_and_replace", Effect.WRITE),
        ("get_or_order", Effect.MONEY),  # behind `or` another verb leads
        ("search_delete_message", Effect.DESTRUCTIVE),
        ("get_and", Effect.READ),
        ("run", Effect.DESTRUCTIVE),
        ("pay_invoice", Effect.MONEY),
        ("invite_member", Effect.PRIVILEGE),
        ("list_api_keys", Effect.CREDENTIAL),
        ("frobnicate", Effect.DESTRUCTIVE),
        ("reader", Effect.DESTRUCTIVE),  # a part of a word is no word
        ("", Effect.DESTRUCTIVE),
    ],
)
def test_the_name_says_what_a_tool_might_do(name: str, effect: Effect) -> None:
    assert proposed(name) is effect


@pytest.mark.parametrize(
    ("name", "hints", "effect"),
    [
        ("get_event", {"destructiveHint": True}, Effect.DESTRUCTIVE),
        ("update_event", {"destructiveHint": True}, Effect.DESTRUCTIVE),
        ("send_email", {"destructiveHint": True}, Effect.EGRESS),
        ("frobnicate", {"destructiveHint": True}, Effect.DESTRUCTIVE),
        ("frobnicate", {"readOnlyHint": True}, Effect.DESTRUCTIVE),  # hints only raise
        ("get_event", {"readOnlyHint": False}, Effect.WRITE),
        ("send_email", {"readOnlyHint": False}, Effect.EGRESS),
        ("get_event", {"readOnlyHint": True}, Effect.READ),
        ("get_event", {"destructiveHint": "yes"}, Effect.READ),
        ("get_event", ["no", "object"], Effect.READ),
    ],
)
def test_hints_of_an_upstream_only_raise(name: str, hints: Any, effect: Effect) -> None:
    assert proposed(name, hints) is effect


def test_a_proposal_grants_nothing() -> None:
    tool = labelled(NOTHING, "get_event")
    assert propose(tool) is Effect.READ
    assert (tool.effect, tool.tier, tool.labelled) == (Effect.DESTRUCTIVE, Tier.HIGH, False)
