"""What a record holds of the facts of a decision, and of what a person said of an output. No I/O here."""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Approval, Facts


def answered(row: Approval) -> Mapping[str, str]:
    """What a person said of an output, as its record holds it."""
    said = {"approval": row.id, "state": row.state.value}
    if row.decided_by:
        said |= {"by": row.decided_by, "proof": row.proof.word if row.proof is not None else ""}
    return said


def told_facts(facts: Facts) -> Mapping[str, Any]:
    """Facts as a record holds them: with the call and the policy they give the same decision again."""
    told = {
        "upstream": facts.upstream_state,
        "tainted": facts.tainted,
        "private": facts.private,
        "calls_10m": facts.calls_10m,
        "consequential": facts.consequential,
        "nodes": facts.nodes,
    }
    if facts.standing.grants:
        told["grants"] = [grant.id for grant in facts.standing.grants]
    for name in ("frozen", "barred"):
        if said := getattr(facts.standing, name):
            told[name] = said
    if facts.used:
        told["used"] = facts.used
    if facts.protected:
        told["protected"] = facts.protected
    if facts.secrets:
        told["secrets"] = [one.kind for one in facts.secrets]
    if facts.markers:
        told["markers"] = True
    if facts.carries:
        told["carries"] = list(facts.carries)
    return told
