"""Labels for the tools of a new upstream: groups for a person to confirm, and the policy that says what was confirmed.

It grants nothing by itself: a tool that nobody confirmed stays unlabelled, and each of its calls is asked about.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from gateway.core.model import Effect, Tier
from gateway.core.risk import tier_of

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


class Group(str, Enum):
    """What is confirmed by one key."""

    READS = "reads"
    WRITES = "writes"
    HIGH = "high"


_OF_TIER = {Tier.READ: Group.READS, Tier.WRITE: Group.WRITES, Tier.HIGH: Group.HIGH}
MEANS = {
    Group.READS: "pass unasked",
    Group.WRITES: "a person is asked",
    Group.HIGH: "a person is asked, outside of the client",
}


class Proposed(Struct, frozen=True):
    """One tool by its upstream's name, with the effect that is proposed for it, and what a person should know of it."""

    name: str
    effect: Effect
    remarks: tuple[str, ...] = ()

    @property
    def group(self) -> Group:
        """The group that it belongs to."""
        return _OF_TIER[tier_of(self.effect)]

    @property
    def plain(self) -> bool:
        """Whether its name can stand in a `match`: one with a sign of a pattern would speak of other tools too."""
        return _PLAIN.fullmatch(self.name) is not None


def grouped(tools: Sequence[Proposed]) -> Mapping[Group, Sequence[Proposed]]:
    """The tools by group, in the order of the groups; empty groups are left out."""
    found = {group: [tool for tool in tools if tool.group is group and tool.plain] for group in Group}
    return {group: mine for group, mine in found.items() if mine}


def policy_text(upstream: str, owner: str, tools: Sequence[Proposed], confirmed: Collection[Group], said: str) -> str:
    """The policy of one upstream: an entry for each effect of the groups that were confirmed, and the others named."""
    lines = [
        f"# What the tools of `{upstream}` do: proposed from their names and their server's own hints, {said}.",
        "# A tool that no entry names counts as destructive, and a person is asked. docs/policy-guide.md tells more.",
        f'upstream = "{upstream}"',
        f"owner    = {json.dumps(owner, ensure_ascii=False)}",
        *entries(tools, confirmed),
    ]
    return "\n".join(lines) + "\n"


def entries(tools: Sequence[Proposed], confirmed: Collection[Group]) -> list[str]:
    """The lines of the entries."""
    lines: list[str] = []
    for group, mine in grouped(tools).items():
        for effect in Effect:
            names = [tool.name for tool in mine if tool.effect is effect]
            if names and group in confirmed:
                lines += [
                    "",
                    f"# {group.value}: {MEANS[group]}",
                    "[[tool]]",
                    *_match(names),
                    f'effect = "{effect.value}"',
                ]
            elif names:
                lines += ["", f"# Not confirmed as {effect.value}, so a person is asked: {', '.join(names)}"]
    left = [tool.name for tool in tools if not tool.plain]
    if left:
        lines += ["", f"# Names that no entry can hold, so a person is asked: {json.dumps(left)}"]
    return lines


def _match(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [f"match  = {json.dumps(names[0])}"]
    return ["match  = [", *(f"    {json.dumps(name)}," for name in names), "]"]
