"""Values for tests of the core: a tool, a call, facts and policies from a few words each."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from gateway.core.canon import canonical, count_nodes
from gateway.core.model import (
    Approval,
    ApprovalState,
    Call,
    Client,
    Context,
    Effect,
    Facts,
    Labels,
    Principal,
    Reason,
    Requirement,
    Tool,
    ToolRef,
)
from gateway.core.policy import Known, Policy, parse
from gateway.core.problems import Severity
from gateway.core.risk import classify, labels_for, tier_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HEAD = 'owner = "it@corp.example"\n'
KNOWN = Known(frozenset({"mail", "files"}), frozenset({"claude-code", "cursor"}), {"alice": frozenset({"admin"})})


def policy_of(*files: str, **named: str) -> Policy:
    """A policy from texts without errors; a head with an owner stands before each."""
    texts = {f"policies/p{index}.toml": HEAD + text for index, text in enumerate(files)}
    texts |= {f"policies/{name}.toml": HEAD + text for name, text in named.items()}
    policy, problems = parse(texts, KNOWN)
    assert not [str(problem) for problem in problems if problem.severity is Severity.ERROR]
    return policy


def problems_of(text: str, head: str = HEAD, known: Known | None = KNOWN) -> list[str]:
    """The problems of one policy file, each as a line for people."""
    return [str(problem) for problem in parse({"p.toml": head + text}, known)[1]]


def tool_of(effect: Effect = Effect.WRITE, name: str = "send", upstream: str = "mail", **labels: Any) -> Tool:
    """A tool with an effect, and labels if there are any to say."""
    said = replace(Labels(sinks={}), effect=effect, **labels)
    ref = ToolRef(upstream, name)
    return Tool(ref, f"{upstream}__{name}", {"name": name}, "d1", effect, tier_of(effect), said)


def labelled(policy: Policy, name: str, upstream: str = "mail", annotations: Mapping[str, Any] | None = None) -> Tool:
    """A tool as the catalogue would make it of a policy."""
    ref = ToolRef(upstream, name)
    definition = {"name": name, **({"annotations": annotations} if annotations is not None else {})}
    return classify(definition, ref, f"{upstream}__{name}", "d1", labels_for(policy, ref), None)


def call_of(arguments: Mapping[str, Any] | None = None, client: str = "claude-code") -> Call:
    """A call of a client."""
    given = arguments or {}
    sealed = canonical(given)
    who = Principal("os:alice", "os-user")
    return Call("d_1", who, Client(client), "mail__send", given, sealed, "digest", NOW, Context("s_1"))


def facts_of(tool: Tool | None, call: Call | None = None, **more: Any) -> Facts:
    """Facts of a gateway in which everything is well."""
    return Facts(now=NOW, tool=tool, nodes=count_nodes(call.arguments) if call else 0, **more)


def approval_of(of: Tool, asked: Requirement | None = None, **more: Any) -> Approval:
    """An approval of the call of `call_of` for a tool, as it was given."""
    given = Approval(
        id="a_1",
        state=ApprovalState.APPROVED,
        call="d_1",
        principal="os:alice",
        client="claude-code",
        session="s_1",
        upstream=of.ref.upstream,
        tool=of.ref.name,
        exposed=of.exposed_as,
        definition=of.digest,
        arguments={},
        arguments_digest="digest",
        tier=of.tier,
        effect=of.effect,
        rule="",
        reason=Reason.TIER_DEFAULT,
        requirement=asked or Requirement(),
        obligations=("redact",),
        policy_revision="",
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=10),
    )
    return replace(given, **more)
