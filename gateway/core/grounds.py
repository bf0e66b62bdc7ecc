"""What a record holds of the facts of a decision, and of what a person said of an output. No I/O here."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.core.grants import stands
from gateway.core.model import Approval, Call, Decision, Facts, Reason, Surface, Tool, Traced

MOST_VALUES = 64  # values of a call whose origins a record tells
SHAPE = 2  # of facts on a record; those of 1, which don't say it, are too few to decide again
LARGE = 32 * 1024  # canonical bytes of arguments from which on their size is told
FOR_REPLAY = frozenset({"shape", "values", "hints", "bytes", "long", "unnamed", "isolation", "redacted"})
"""What is there to decide again (`core/replay.py`), and tells people nothing."""
_LONG = re.compile(rb"\d{19}")  # what may be an integer of more than 64 bits


def answered(row: Approval) -> Mapping[str, str]:
    """What a person said of an output, as its record holds it."""
    said = {"approval": row.id, "state": row.state.value}
    if row.decided_by:
        said |= {"by": row.decided_by, "proof": row.proof.word if row.proof is not None else ""}
    return said


def _traced(value: Traced) -> list[Any]:
    """Where a value stands, its good origins, and its kind; the value itself stands in the arguments."""
    return [value.place, " ".join(sorted(value.origins)), value.kind.value]


def _hints(tool: Tool) -> list[str]:
    """What the upstream itself says of a tool that may raise its effect, under any label; see `risk.raised`."""
    said = tool.definition.get("annotations") if tool.surface is Surface.TOOLS else None
    if not isinstance(said, Mapping):
        return []
    destroys = said.get("destructiveHint") is True and said.get("readOnlyHint") is not True
    writes = said.get("readOnlyHint") is False
    return [*(["destructive"] if destroys else []), *(["writes"] if writes else [])]


def _of_call(call: Call) -> Mapping[str, Any]:
    """What the record says of a call nowhere else: roles of who called, and of large arguments their size."""
    told: dict[str, Any] = {"roles": sorted(call.principal.roles)} if call.principal.roles else {}
    if call.context.session == call.context.seat:
        told["unnamed"] = True
    if len(call.canonical) > LARGE:
        told["bytes"] = len(call.canonical)
    if _LONG.search(call.canonical):
        told["long"] = True
    return told


def told_facts(facts: Facts, call: Call | None = None, *, redacted: bool = False) -> Mapping[str, Any]:
    """Facts as a record holds them: with the call and the policy they give the same decision again.

    Where arguments are `redacted`, the places of their values are not told: the name of one may hold a secret.
    """
    told = {
        "shape": SHAPE,
        "upstream": facts.upstream_state,
        "tainted": facts.tainted,
        "private": facts.private,
        "calls_10m": facts.calls_10m,
        "consequential": facts.consequential,
        "nodes": facts.nodes,
    }
    if facts.sources:
        told["sources"] = list(facts.sources)
    if facts.values and not redacted:
        told["values"] = [_traced(value) for value in facts.values[:MOST_VALUES]]
    if facts.tool is not None and (hints := _hints(facts.tool)):
        told["hints"] = hints
    if facts.tool is not None and facts.tool.labels.fetches:
        told["fetches"] = True
    if call is not None:
        told |= _of_call(call)
    if standing := [grant.id for grant in facts.standing.grants if stands(grant, facts.now)]:
        told["grants"] = standing
    for name in ("frozen", "barred"):
        if said := getattr(facts.standing, name):
            told[name] = said
    if facts.raised:
        told["raised"] = facts.raised
    if facts.used:
        told["used"] = facts.used
    if facts.spent:
        told["spent"] = facts.spent
    for name in ("repeated", "refused"):
        if count := getattr(facts, name):
            told[name] = count
    if facts.begun:
        told["begun"] = True
    if facts.held:
        told["held"] = facts.held
    if facts.protected:
        told["protected"] = facts.protected
    if facts.secrets:
        told["secrets"] = [one.kind for one in facts.secrets]
    if facts.markers:
        told["markers"] = True
    if facts.carries:
        told["carries"] = list(facts.carries)
    return told


def asked_facts(facts: Facts | None, call: Call, *, redacted: bool) -> Mapping[str, Any]:
    """The same for the record of a question, which says less of its call; nothing where there are no facts."""
    if facts is None:
        return {}
    told = {**told_facts(facts, call, redacted=redacted), "isolation": call.context.isolation}
    return {**told, "redacted": True} if redacted else told


def overruled(told: Mapping[str, Any], decision: Decision | None, reason: Reason | None) -> Mapping[str, Any]:
    """The facts of an outcome whose reason is another one than its decision's, with that."""
    if decision is None or reason in (None, decision.reason) or not told.get("facts"):
        return {}
    return {"facts": {**told["facts"], "decided": decision.reason.value}}
