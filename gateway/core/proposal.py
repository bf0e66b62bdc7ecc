"""Propose an effect for a tool that nobody labelled, from its name and its upstream's hints, for a person to confirm.

It grants nothing: until somebody writes a label down, the tool counts as destructive. No I/O here.
"""

import re

from gateway.core.model import Effect, Tool

# The first row one of whose words occurs in the tool's name counts.
WORDS = {
    Effect.DESTRUCTIVE: "delete remove drop purge destroy wipe erase truncate kill exec execute run eval shell command",
    Effect.MONEY: "pay payment transfer refund charge purchase buy order checkout invoice payout",
    Effect.PRIVILEGE: "grant permission permissions role roles invite share member members admin acl",
    Effect.CREDENTIAL: "secret secrets token tokens credential credentials password passwords key keys",
    Effect.EGRESS: "send reply forward email mail post publish notify upload tweet message webhook fetch",
    Effect.WRITE: "write create update edit set add insert put patch move rename copy append merge commit",
    Effect.READ: "read get list search find query show describe view count lookup status history",
}
_KNOWN = {effect: frozenset(words.split()) for effect, words in WORDS.items()}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def propose(tool: Tool) -> Effect:
    """The effect to preselect: what the name says, never less than the upstream's own hints; destructive if neither
    says anything.
    """
    words = {word.lower() for word in _WORD.findall(tool.ref.name)}
    named = next((effect for effect, known in _KNOWN.items() if words & known), None)
    hints = tool.definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    if hints.get("destructiveHint") is True:
        return Effect.DESTRUCTIVE if named in (None, Effect.READ, Effect.WRITE) else named
    if named is None:
        return Effect.DESTRUCTIVE
    return Effect.WRITE if named is Effect.READ and hints.get("readOnlyHint") is False else named
