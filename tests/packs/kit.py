"""The packs, what their servers listed, and decisions on calls of them in a session that read somebody else's text."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.core.canon import canonical, count_nodes
from gateway.core.decide import decide
from gateway.core.flow import PROMPT, Origins, trace, weighs
from gateway.core.model import Call, Client, Context, Decision, Facts, Principal, Tool, ToolRef
from gateway.core.policy import Known, Policy, parse
from gateway.core.risk import classify, labels_for
from tests.core.cases import NOW

FOLDER = Path(__file__).parents[2] / "policies" / "packs"
LISTS: Mapping[str, Any] = tomllib.loads((Path(__file__).parent / "lists.toml").read_text(encoding="utf-8"))
PACKS = tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if not path.name.endswith(".test.toml")))
_HINTS = {"r": ("readOnlyHint", True), "w": ("readOnlyHint", False), "d": ("destructiveHint", True)}


class Listed(NamedTuple):
    """One tool as its server listed it."""

    pack: str
    name: str
    tier: str
    definition: Mapping[str, Any]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of its arguments."""
        return tuple(self.definition["inputSchema"]["properties"])


def listed(pack: str) -> tuple[Listed, ...]:
    """Every tool that a pack's server listed."""
    return tuple(_listed(pack, name, line) for name, line in LISTS[pack]["tools"].items())


def _listed(pack: str, name: str, line: str) -> Listed:
    head, _, tail = line.partition(" | ")
    tier, hints = head.split()
    parts = [part.partition(":") for part in tail.split()]
    schema = {
        "type": "object",
        "properties": {key.removesuffix("!"): {"type": kind} for key, _, kind in parts},
        "required": [key.removesuffix("!") for key, _, _ in parts if key.endswith("!")],
    }
    annotations = dict(_HINTS[hint] for hint in hints if hint in _HINTS)
    return Listed(pack, name, tier, {"name": name, "inputSchema": schema, "annotations": annotations})


def policy_of(pack: str, **lists: list[str]) -> Policy:
    """A pack as it stands, with other values in its lists."""
    text = (FOLDER / f"{pack}.toml").read_text(encoding="utf-8")
    known = Known(frozenset({pack}), frozenset({"claude-code"}), {})
    for name, values in lists.items():
        key = name.replace("_", "-")
        before = next(line for line in text.splitlines() if line.startswith(f"{key} "))
        text = text.replace(before, f"{key} = {values!r}")
    policy, problems = parse({f"policies/{pack}.toml": text}, known, NOW.date())
    assert problems == ()
    return policy


def tool_of(pack: str, name: str, policy: Policy) -> Tool:
    """A tool as the catalogue makes it: of a name that no server listed, one without schema and hints."""
    found = {tool.name: tool.definition for tool in listed(pack)}
    ref = ToolRef(pack, name)
    return classify(found.get(name, {"name": name}), ref, f"{pack}__{name}", "d1", labels_for(policy, ref), None)


def decided(
    pack: str, name: str, arguments: Mapping[str, Any], prompt: str = "", tainted: bool = True, **lists: list[str]
) -> Decision:
    """What a pack makes of a call; `prompt` is what the user asked for before anything was read."""
    policy = policy_of(pack, **lists)
    tool = tool_of(pack, name, policy)
    who = Principal("os:alice", "os-user")
    call = Call(
        "d_1", who, Client("claude-code"), tool.exposed_as, arguments, canonical(arguments), "x", NOW, Context("s_1")
    )
    call = replace(call, context=replace(call.context, isolation=2))
    origins = Origins()
    origins.add(PROMPT, prompt)
    values = trace(tool, arguments, origins) if tainted and weighs(tool) else ()
    return decide(call, Facts(NOW, tool, tainted=tainted, values=values, nodes=count_nodes(arguments)), policy)
