"""A small mail server with labels, policies for it, grants on it, and what reach tells of it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from gateway.core.grants import labels_digest, pins
from gateway.core.model import Choice, Grant, Proof, Reason
from gateway.core.openings import Reach
from gateway.core.policy import Policy
from gateway.core.reach import Assumed, reach, tools_of
from tests.core.cases import NOW, labelled, policy_of

KEY = b"k" * 32
LABELS = """
[lists]
colleagues = ["*@corp.example", "bob@home.example"]
nobody = []
[[tool]]
match = "send"
effect = "egress"
sinks = { to = "email", cc = "email" }
payload = ["body"]
inert = ["mood"]
known = { cc = "colleagues" }
[[tool]]
match = ["put", "put_*"]
effect = "write"
sinks = { path = "path" }
payload = ["content"]
[[tool]]
match = "drop"
effect = "destructive"
sinks = { name = "text" }
[[tool]]
match = ["look", "list_*"]
effect = "read"
[[tool]]
match = "ask"
effect = "read"
output = { trust = "trusted", private = false }
[[tool]]
match = "fetch"
effect = "read"
fetches = true
sinks = { url = "url" }
output = { private = false }
"""
NAMES = ("send", "put", "put_two", "drop", "look", "ask", "fetch", "odd")
CLIENTS = ("claude-code", "cursor", "unknown")
EVERYBODY = Assumed(CLIENTS, NOW)


def mail(*rules: str, labels: str = LABELS) -> Policy:
    """A policy of one file for `mail`."""
    return policy_of('upstream = "mail"\n' + labels + "".join(rules))


def rule(tools: str, decides: str, when: str = "", more: str = "", id: str = "r") -> str:
    condition = f"when = '''{when}'''\n" if when else ""
    return f'[[rule]]\nid = "{id}"\ntools = {tools}\ndecide = "{decides}"\n{condition}{more}\n'


def reached(policy: Policy, assumed: Assumed = EVERYBODY, *, accepted: bool = True) -> Reach:
    known = {name: {"name": name} for name in NAMES} if accepted else {}
    return reach(policy, tools_of(policy, ("mail",), {"mail": known}, assumed.grants), assumed)


def told(found: Reach) -> dict[tuple[str, str], set[str]]:
    """What passes where: tool and sink -> the words for the values."""
    return {
        (opening.tool.ref.name, opening.sink): {passage.values for passage in opening.passages}
        for opening in found.openings
    }


def granted(policy: Policy, name: str, scope: Choice, arguments: Mapping[str, Any], **more: Any) -> Grant:
    tool = labelled(policy, name)
    given_ = Grant(
        id="g_1",
        scope=scope,
        approval="a_1",
        owner="os:bob",
        roles=frozenset(),
        proof=Proof.LOCAL,
        principal="os:alice",
        client="claude-code",
        session="s_1",
        upstream="mail",
        tool=name,
        exposed=tool.exposed_as,
        definition=tool.digest,
        labels=labels_digest(tool.labels),
        tier=tool.tier,
        effect=tool.effect,
        reason=Reason.TIER_DEFAULT,
        rules=(),
        obligations=(),
        created_at=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(hours=1),
        uses=100,
        pins=pins(tool, arguments, KEY),
        free=("body", "mood"),
    )
    return replace(given_, **more)
