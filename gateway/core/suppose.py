"""A call that nobody made, for tests of policies and for `policy explain`: decided as a running gateway would.

No I/O here. The upstream is taken to be connected, nothing is frozen, and nothing reaches the gateway's own files.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.core.account import Trail
from gateway.core.canon import canonical, count_nodes, digest, keyed_digest
from gateway.core.capture import Capture
from gateway.core.decide import decide
from gateway.core.flow import ARGUMENT, PROMPT, TRUSTED, Origins, trace, weighs
from gateway.core.model import (
    CALL_TOOL,
    COMPLETION,
    Call,
    Client,
    Context,
    Decision,
    Facts,
    Principal,
    Reason,
    Surface,
    Tool,
    ToolRef,
    Verdict,
)
from gateway.core.policy import Policy
from gateway.core.risk import classify, labels_for, surface_labels

ORIGINS = (PROMPT, ARGUMENT, TRUSTED)
"""The origins that a value can be said to have."""
SOMEBODY = Principal("os:somebody", "os-user")
NOBODYS = b"hypothetical"  # key of digests that nothing is compared with
_METHODS = {Surface.TOOLS: CALL_TOOL, Surface.RESOURCES: "resources/read", Surface.PROMPTS: "prompts/get"}


class Supposed(Struct, frozen=True):
    """A hypothetical call, and what is known when it comes."""

    ref: ToolRef
    now: datetime
    surface: Surface = Surface.TOOLS
    arguments: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)  # what the upstream itself says of the tool
    listed: bool = True  # of a resource: whether its upstream lists it
    client: str = "unknown"
    principal: Principal = SOMEBODY
    isolation: int = 0
    tainted: bool = True
    private: bool = True
    calls_10m: int = 0
    consequential: int = 0
    used: Mapping[str, int] = field(default_factory=dict)  # rule id -> how often it has allowed in its window
    spent: Mapping[str, int] = field(default_factory=dict)  # budget id -> what is used of it, in millionths
    repeated: int = 0  # how often the same call was sent in the session
    refused: int = 0  # how often it was refused there
    raised: str = ""  # the signal that raised the session
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # a value, or an argument -> `ORIGINS`


class Rehearsed(Struct, frozen=True):
    """What would be decided, on which call: `call` has the arguments as the decision's duties changed them."""

    supposed: Supposed
    tool: Tool
    call: Call
    facts: Facts
    decision: Decision


def tool_of(policy: Policy, of: Supposed) -> Tool:
    """What is called, with the labels of a policy."""
    listed = of.surface is not Surface.RESOURCES or of.listed
    tools = of.surface is Surface.TOOLS
    labels = labels_for(policy, of.ref) if tools else surface_labels(policy, of.ref, of.surface, listed=listed)
    definition = {"name": of.ref.name, **({"annotations": of.annotations} if of.annotations else {})}
    return classify(
        definition, of.ref, f"{of.ref.upstream}__{of.ref.name}", digest(definition), labels, None, of.surface
    )


def call_of(of: Supposed) -> Call:
    """The call; raises `ValueError` for arguments that are no JSON."""
    sealed = canonical(of.arguments)
    method = _METHODS.get(of.surface, COMPLETION)
    return Call(
        id="d_SUPPOSED00",
        principal=of.principal,
        client=Client(of.client),
        exposed=f"{of.ref.upstream}__{of.ref.name}",
        arguments=of.arguments,
        canonical=sealed,
        digest=keyed_digest(NOBODYS, sealed),
        at=of.now,
        context=Context("supposed", isolation=of.isolation),
        method=method,
    )


def facts_of(of: Supposed, tool: Tool, call: Call) -> Facts:
    """What the decision is made on."""
    known = Origins()
    for said, origins in of.origins.items():
        for origin in origins:
            known.add(origin, of.arguments.get(said, said))
    return Facts(
        now=of.now,
        tool=tool,
        tainted=of.tainted,
        private=of.private,
        values=trace(tool, call.arguments, known) if of.tainted and weighs(tool) else None,
        calls_10m=of.calls_10m,
        consequential=of.consequential,
        used=of.used,
        spent=of.spent,
        repeated=of.repeated,
        refused=of.refused,
        raised=of.raised,
        nodes=count_nodes(call.arguments),
        elicit="form",
    )


def rehearse(of: Supposed, policy: Policy) -> Rehearsed:
    """Decide on a supposed call."""
    tool = tool_of(policy, of)
    return Rehearsed(of, tool, *weighed(call_of(of), lambda call: facts_of(of, tool, call), policy))


def weighed(call: Call, gather: Callable[[Call], Facts], policy: Policy) -> tuple[Call, Facts, Decision]:
    """Decide; apply what is set or dropped and decide again, once, as `enforce.py` does. `gather` makes the facts."""
    trail = Trail(call, lambda: 0.0, Capture(NOBODYS))

    def weigh() -> tuple[Facts, Decision]:
        facts = gather(trail.call)
        trail.decision = decide(trail.call, facts, policy)
        return facts, trail.decision

    facts, decision = weigh()
    if decision.verdict is not Verdict.BLOCK and (changed := trail.changes()) is not None:
        trail.change(changed, NOBODYS)
        facts, decision = weigh()
        if decision.verdict is not Verdict.BLOCK and trail.changes() is not None:
            decision = replace(
                decision, verdict=Verdict.BLOCK, reason=Reason.OBLIGATION_UNMET, requirement=None, authorised={}
            )
    return trail.call, facts, decision
