"""Propose an effect for a tool that nobody labelled, from its name and its upstream's hints, for a person to confirm.

It grants nothing: until somebody writes a label down, the tool counts as destructive. No I/O here.
"""

import re
from collections.abc import Sequence

from gateway.core.model import Effect, Tool

# The first row one of whose words occurs in the tool's name counts.
WORDS = {
    Effect.DESTRUCTIVE: "delete remove drop purge destroy wipe erase truncate kill exec execute run eval shell command",
    Effect.MONEY: "pay payment transfer refund charge purchase buy order checkout invoice payout",
    Effect.PRIVILEGE: "grant permission permissions role roles invite share member members admin acl",
    Effect.CREDENTIAL: "secret secrets token tokens credential credentials password passwords key keys",
    Effect.EGRESS: "send reply forward email mail post publish notify upload tweet message webhook fetch",
    Effect.WRITE: "write create update edit set add insert put patch move rename copy append merge commit replace",
    Effect.READ: "read get list search find query show describe view count lookup status history",
}
READS = "read get list search find query show describe view count lookup"
"""Verbs that lead: what follows one of them is what is read, and no verb of its own."""
THINGS = (
    "run command payment transfer refund charge purchase order checkout invoice payout "
    "permission permissions role roles share member members admin acl "
    "email mail post tweet message webhook set edit copy patch merge commit update"
)
"""Words that also name things: behind a verb that reads they raise nothing. Credentials always do."""
_KNOWN = {effect: frozenset(words.split()) for effect, words in WORDS.items()}
_READS, _THINGS = frozenset(READS.split()), frozenset(THINGS.split())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_AND = frozenset(("and", "or", "then"))


def propose(tool: Tool) -> Effect:
    """The effect to preselect: what the name says, never less than the upstream's own hints; destructive if neither
    says anything.
    """
    named = _named([word.lower() for word in _WORD.findall(tool.ref.name)])
    hints = tool.definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    if hints.get("destructiveHint") is True:
        return Effect.DESTRUCTIVE if named in (None, Effect.READ, Effect.WRITE) else named
    if named is None:
        return Effect.DESTRUCTIVE
    return Effect.WRITE if named is Effect.READ and hints.get("readOnlyHint") is False else named


def _named(words: Sequence[str]) -> Effect | None:
    """The worst that the words of a name say; behind `and` another verb leads."""
    said: set[str] = set()
    reads = begins = False
    for place, word in enumerate(words):
        if word in _AND:
            begins = True
            continue
        if place == 0 or begins:
            reads, begins = word in _READS, False
        if not (reads and word in _THINGS):
            said.add(word)
    return next((effect for effect, known in _KNOWN.items() if said & known), None)
