"""What a tool does and how strictly it is checked: the policy's labels, raised by the upstream's own hints.

No I/O here, and an upstream's annotations never lower anything.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Effect, Labels, Owner, Tier, Tool, ToolRef
from gateway.core.policy import Policy, ToolEntry
from gateway.core.policy.check import same_labels

UNLABELLED = Labels()
_TIERS = {Effect.READ: Tier.READ, Effect.WRITE: Tier.WRITE}


def labels_for(policy: Policy, ref: ToolRef) -> Labels:
    """The labels of a tool: from a file that names its upstream, else from one that speaks of all.

    Where equally specific files differ (an error at load wherever patterns show it) the tool counts as unlabelled.
    """
    for upstream in (ref.upstream, ""):
        entries = [entry for file in policy.files if file.upstream == upstream and (entry := file.entry(ref))]
        if entries:
            return entries[0].labels if _agree(entries) else UNLABELLED
    return UNLABELLED


def classify(
    definition: Mapping[str, Any], ref: ToolRef, exposed_as: str, digest: str, labels: Labels, owner: Owner | None
) -> Tool:
    """The tool as it is exposed, with the effect that its labels and its own annotations make together."""
    effect = raised(labels.effect, definition.get("annotations"))
    return Tool(ref, exposed_as, definition, digest, effect, tier_of(effect), labels, owner)


def tier_of(effect: Effect) -> Tier:
    """The tier that follows from an effect: high, unless it is known to be less."""
    return _TIERS.get(effect, Tier.HIGH)


def raised(effect: Effect, annotations: object) -> Effect:
    """The effect after an upstream's own annotations: only what they say outright can raise it."""
    if not isinstance(annotations, Mapping) or tier_of(effect) is Tier.HIGH:
        return effect
    read_only = annotations.get("readOnlyHint")
    if annotations.get("destructiveHint") is True and read_only is not True:
        return Effect.DESTRUCTIVE
    if effect is Effect.READ and read_only is False:
        return Effect.WRITE
    return effect


def _agree(entries: list[ToolEntry]) -> bool:
    return all(same_labels(entries[0], other) for other in entries[1:])
