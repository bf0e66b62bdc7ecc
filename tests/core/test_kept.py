"""How an approval is kept: what is written is what is read, also of a row that an earlier gateway wrote."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter
from gateway.core.canon import canonical
from gateway.core.grants import give
from gateway.core.kept import COLUMNS, approval_of, card_bytes, grant_bytes, grant_of
from gateway.core.model import Approval, ApprovalState, Choice, Proof, Reason, Requirement, Shown
from gateway.core.record import stamp
from tests.core.test_card import AT, approval


def columns(row: Approval, card: bytes | None = None) -> list[Any]:
    """The values of the columns, as a store holds them."""
    held = {
        **{name: getattr(row, name) for name in COLUMNS if hasattr(row, name)},
        "state": row.state.value,
        "created_at": stamp(row.created_at),
        "expires_at": stamp(row.expires_at),
        "told": int(row.told),
        "decided_at": stamp(row.decided_at) if row.decided_at is not None else "",
        "proof": row.proof.word if row.proof is not None else "",
        "card": card or card_bytes(row),
    }
    return [held[name] for name in COLUMNS]


FULL = approval(
    state=ApprovalState.APPROVED,
    rule="a.one",
    rules=("a.one", "b.two"),
    reason=Reason.RULE,
    requirement=Requirement(Proof.SIGNED, frozenset({"ada", "role:boss"}), 2, timedelta(seconds=90)),
    obligations=("redact", "set x=1"),
    told=True,
    decided_by="ada",
    decided_at=AT,
    proof=Proof.SIGNED,
    note="fine",
    method="resources/read",
    shown=Shown(known_by="token", carried=({"argument": "to"},), preview={"tool": "t"}, unproven=True, before="once"),
    labels="l",
    pins={"path": "d"},
    free=("text",),
    tainted=False,
    asked_digest="2" * 64,
    follows="a_0000000000",
    followed_by="a_0000000002",
)


@pytest.mark.parametrize("row", [approval(), FULL], ids=["little", "everything"])
def test_an_approval_is_read_as_it_was_kept(row: Approval) -> None:
    assert approval_of(columns(row)) == row


def test_a_row_of_an_earlier_gateways_is_read_with_what_it_does_not_hold_at_its_strictest() -> None:
    later = ("shown", "rules", "labels", "pins", "free", "tainted", "follows", "method")
    kept = {name: value for name, value in msgspec.json.decode(card_bytes(FULL)).items() if name not in later}
    found = approval_of(columns(FULL, canonical(kept)))
    assert found.tainted
    assert found == replace(
        FULL, shown=Shown(), rules=(), labels="", pins={}, free=(), tainted=True, follows="", method=""
    )


def test_a_grant_is_kept_whole_with_its_end_as_it_stands_in_the_column() -> None:
    grant = give(FULL, Chosen(Choice.PATTERN), Voter("ada", Proof.SIGNED, frozenset({"boss"})), "g_1", AT)
    kept = msgspec.json.decode(grant_bytes(grant))
    assert grant_of((grant_bytes(grant), 3, "revoked")) == replace(grant, used=3, ended="revoked")
    assert (kept["id"], kept["expires_at"], kept["pins"]) == ("g_1", stamp(grant.expires_at), {"path": "d"})
    assert grant_bytes(grant) == grant_bytes(replace(grant))
    assert grant_bytes(grant) != grant_bytes(replace(grant, uses=grant.uses + 1))
