"""What clients are told of the servers behind the gateway."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app.offer import ATTENDED, Offer
from gateway.upstreams.catalogue import Catalogue
from gateway.upstreams.definitions import TOOLS, Listing
from tests.house import policy_of
from tests.upstreams.offers import listing, read, tool

TODAY = date(2026, 12, 1)


def about(instructions: str, *, believed: bool = True) -> str:
    """The instructions that a client gets, before one server that says this."""
    settings: Any = SimpleNamespace(upstreams={"up": SimpleNamespace(instructions=believed)})
    catalogue: Any = SimpleNamespace(instructions={"up": instructions}, shown=lambda kind, only: ())
    policy = policy_of()
    return Offer(settings, lambda: policy, lambda: TODAY).about(catalogue, "")


def test_instructions_of_a_server_that_is_believed_are_told_as_its_own() -> None:
    assert about("Be kind.").endswith("Instructions of the server `up`:\nBe kind.")
    assert "kind" not in about("Be kind.", believed=False)


POLICY = """\
upstream = "up"
owner = "o@example.com"
[[tool]]
match = ["look", "peek"]
effect = "read"
[[tool]]
match = ["note", "mine"]
effect = "write"
[[rule]]
id = "up.mine"
tools = "mine"
clients = ["claude-code"]
decide = "allow"
[[rule]]
id = "up.peek"
tools = "peek"
when = "args.deep"
decide = "ask"
[[rule]]
id = "up.gone"
tools = "gone"
decide = "block"
"""


@pytest.mark.parametrize("recalled", [False, True])
@pytest.mark.parametrize(
    ("client", "asked"),
    [
        ("claude-code", {"up__note", "up__odd", "up__peek"}),
        ("unknown", {"up__mine", "up__note", "up__odd", "up__peek"}),
    ],
)
def test_a_tool_that_a_person_is_asked_about_says_so_to_each_client_for_itself(
    client: str, asked: set[str], recalled: bool
) -> None:
    owner = SimpleNamespace(business="o", technical="o")
    settings: Any = SimpleNamespace(upstreams={"up": SimpleNamespace(owner=owner, acts_as=None)})
    policy = policy_of(POLICY)
    offer = Offer(settings, lambda: policy, lambda: TODAY)
    catalogue = Catalogue([("up", False)], offer.classify)
    offers = listing(("gone", "look", "mine", "note", "odd", "peek"), prompts=("note",))
    (catalogue.recall if recalled else catalogue.replace)("up", offers)
    tools = {tool.exposed_as: tool.definition for tool in offer.shown(catalogue, "tools", "", client)}
    assert {name for name, definition in tools.items() if definition.get("_meta") == {ATTENDED: True}} == asked
    assert {name for name, definition in tools.items() if "_meta" not in definition} == tools.keys() - asked
    assert "up__gone" not in tools
    assert offer.hidden(catalogue, "") == 1
    (prompt,) = offer.shown(catalogue, "prompts", "", client)
    assert "_meta" not in prompt.definition


def test_the_mark_stands_beside_what_the_upstream_says_and_takes_nothing_from_it() -> None:
    owner = SimpleNamespace(business="o", technical="o")
    settings: Any = SimpleNamespace(upstreams={"up": SimpleNamespace(owner=owner, acts_as=None)})
    offer = Offer(settings, policy_of, lambda: TODAY)
    catalogue = Catalogue([("up", False)], offer.classify)
    said = {ATTENDED: False, "anthropic/alwaysLoad": True, "vendor/x": 1}
    catalogue.replace("up", Listing(tools=read(TOOLS, tool("odd", _meta=said))))
    (shown,) = offer.shown(catalogue, "tools", "", "unknown")
    assert shown.definition["_meta"] == {"vendor/x": 1, ATTENDED: True}
    (kept,) = catalogue.offered("tools")
    assert kept.definition["_meta"] == {"vendor/x": 1}
