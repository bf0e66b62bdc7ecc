"""What a tool does and how strictly it is checked: the policy's labels, raised by the upstream's own hints.

No I/O here, and an upstream's annotations never lower anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.core.model import (
    COMPLETION,
    Effect,
    Labels,
    OutputLabel,
    Owner,
    PersonalAction,
    SinkKind,
    Surface,
    Tier,
    Tool,
    ToolRef,
)
from gateway.core.policy import Policy, ToolEntry
from gateway.core.policy.check import same_labels

UNLABELLED = Labels()
_STRICTEST_FIRST = (PersonalAction.REDACT, PersonalAction.FLAG, PersonalAction.OFF)
_TIERS = {Effect.READ: Tier.READ, Effect.WRITE: Tier.WRITE}


def labels_for(policy: Policy, ref: ToolRef) -> Labels:
    """The labels of a tool: from a file that names its upstream, else from one that speaks of all.

    Where equally specific files differ (an error at load wherever patterns show it) the tool counts as unlabelled.
    """
    for upstream in (ref.upstream, ""):
        entries = [entry for file in policy.files if file.upstream == upstream and (entry := file.entry(ref))]
        if entries:
            return entries[0].labels if _agree(entries) else _disputed_labels(entries)
    return UNLABELLED


def surface_labels(policy: Policy, ref: ToolRef, surface: Surface, *, listed: bool = True) -> Labels:
    """The labels of what is no tool: resources, prompts and completions are reads, what an upstream asks sends data.

    A URI that its upstream doesn't list, and the argument of a completion, may carry data out: they count as fetches.
    """
    if surface is Surface.METHODS and ref.name != COMPLETION:
        return Labels(Effect.EGRESS)
    output, at = OutputLabel(), None
    for upstream in (ref.upstream, ""):
        files = (file for file in policy.files if file.upstream == upstream)
        entries = [entry for file in files if (entry := file.surface_entry(ref, surface))]
        if entries:
            # Where files that are equally specific differ, the strict label holds.
            agreed = all(entry.output == entries[0].output for entry in entries)
            disputed = _disputed([entry.output for entry in entries])
            output, at = (entries[0].output, entries[0].at) if agreed else (disputed, None)
            break
    fetches = surface is Surface.METHODS or not listed
    return Labels(Effect.READ, _sinks(ref, surface) if fetches else {}, output=output, fetches=fetches, at=at)


def _disputed_labels(entries: Sequence[ToolEntry]) -> Labels:
    output = _disputed([entry.labels.output for entry in entries])
    return UNLABELLED if output == UNLABELLED.output else replace(UNLABELLED, output=output)


def _disputed(outputs: Sequence[OutputLabel]) -> OutputLabel:
    """The strict label, which says nothing of personal data: there the strictest counts that any file says."""
    said = {output.pii for output in outputs}
    return OutputLabel(pii=next(action for action in _STRICTEST_FIRST if action in said))


def _sinks(ref: ToolRef, surface: Surface) -> Mapping[str, SinkKind]:
    if surface is Surface.RESOURCES:
        web = ref.name.lower().startswith(("http:", "https:"))
        return {"uri": SinkKind.URL if web else SinkKind.TEXT}
    return {"argument": SinkKind.TEXT}


def classify(
    definition: Mapping[str, Any],
    ref: ToolRef,
    exposed_as: str,
    digest: str,
    labels: Labels,
    owner: Owner | None,
    surface: Surface = Surface.TOOLS,
    acts_as: str = "",
) -> Tool:
    """The tool as it is exposed, with the effect that its labels and its own annotations make together.

    Only a tool's annotations speak of effects.
    """
    effect = raised(labels.effect, definition.get("annotations")) if surface is Surface.TOOLS else labels.effect
    return Tool(ref, exposed_as, definition, digest, effect, tier_of(effect), labels, owner, surface, acts_as)


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
