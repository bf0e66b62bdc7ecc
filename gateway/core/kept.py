"""How an approval is kept: a row of columns, with its card as JSON; and a grant. Pure: no database here.

The store writes and reads it so, and so does whoever reads the store of a gateway that doesn't run.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.core.canon import canonical
from gateway.core.model import Approval, ApprovalState, Effect, Grant, Proof, Reason, Requirement, Shown, Tier
from gateway.core.record import stamp, unstamp

COLUMNS = (
    *("id", "state", "call", "principal", "client", "session", "upstream", "tool", "definition", "arguments_digest"),
    *("created_at", "expires_at", "told", "decided_by", "decided_at", "proof", "note", "card", "asked_digest"),
    "followed_by",
)
"""What `approval_of` reads, in its order."""


def card_bytes(row: Approval) -> bytes:
    """What of an approval is kept besides its columns: it never changes."""
    asked = row.requirement
    return canonical(
        {
            "exposed": row.exposed,
            "arguments": row.arguments,
            "tier": row.tier.value,
            "effect": row.effect.value,
            "rule": row.rule,
            "reason": row.reason.value,
            "proof": asked.proof.word,
            "by": sorted(asked.by),
            "approvers": asked.approvers,
            "timeout_us": asked.timeout // timedelta(microseconds=1),
            "obligations": row.obligations,
            "policy_revision": row.policy_revision,
            "shown": row.shown,
            "rules": row.rules,
            "labels": row.labels,
            "pins": row.pins,
            "free": row.free,
            "tainted": row.tainted,
            "follows": row.follows,
            "method": row.method,
        }
    )


def grant_bytes(grant: Grant) -> bytes:
    """What of a grant is kept besides its columns: as it was given, it never changes."""
    return canonical({**msgspec.to_builtins(grant), "expires_at": stamp(grant.expires_at)})


def grant_of(row: Sequence[Any]) -> Grant:
    """The grant that is kept in a body, with how often it was `used` and why it `ended`."""
    return replace(msgspec.json.decode(row[0], type=Grant), used=row[1], ended=row[2])


def approval_of(row: Sequence[Any]) -> Approval:
    """The approval that is kept in a row of `COLUMNS`."""
    card = msgspec.json.decode(row[17])
    return Approval(
        id=row[0],
        state=ApprovalState(row[1]),
        call=row[2],
        principal=row[3],
        client=row[4],
        session=row[5],
        upstream=row[6],
        tool=row[7],
        exposed=card["exposed"],
        definition=row[8],
        arguments=card["arguments"],
        arguments_digest=row[9],
        tier=Tier(card["tier"]),
        effect=Effect(card["effect"]),
        rule=card["rule"],
        reason=Reason(card["reason"]),
        requirement=Requirement(
            Proof[card["proof"].upper()],
            frozenset(card["by"]),
            card["approvers"],
            timedelta(microseconds=card["timeout_us"]),
        ),
        obligations=tuple(card["obligations"]),
        policy_revision=card["policy_revision"],
        created_at=unstamp(row[10]),
        expires_at=unstamp(row[11]),
        told=bool(row[12]),
        decided_by=row[13],
        decided_at=unstamp(row[14]) if row[14] else None,
        proof=Proof[row[15].upper()] if row[15] else None,
        note=row[16],
        shown=msgspec.convert(card.get("shown", {}), Shown),
        rules=tuple(card.get("rules", ())),
        labels=card.get("labels", ""),
        pins=card.get("pins", {}),
        free=tuple(card.get("free", ())),
        tainted=card.get("tainted", True),
        asked_digest=row[18],
        follows=card.get("follows", ""),
        method=card.get("method", ""),  # a row of an earlier gateway's has none of these
        followed_by=row[19],
    )
