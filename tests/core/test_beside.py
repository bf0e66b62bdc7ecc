"""Whether tables beside the record say what it tells: every way in which one may not."""

from typing import Any

import pytest

from gateway.core.beside import Beside, mark
from gateway.core.model import Kind

BY_ADA = {"by": "os:ada", "proof": "local", "approve": True}
BY_BOB = {"by": "os:bob", "proof": "local", "approve": True}


def an_approval(state: str = "waiting", *votes: Any, **more: Any) -> dict[str, Any]:
    statement = {"approval": "a_1", "call": "d_1", "shown": state, "arguments_digest": "00"}
    bound = {"call": "d_1", "proof_required": "local", "approvers_required": 2, "expires_at": "later"}
    return {"state": state, "statement": statement, "votes": list(votes), **bound, **more}


def a_grant(state: str = "given", **more: Any) -> dict[str, Any]:
    return {"state": state, "grant": "g_1", "expires_at": "later", "uses": 3, **more}


def a_key(state: str = "enrolled", **more: Any) -> dict[str, Any]:
    return {"state": state, "key": "k_1", "name": "ada", "kind": "ssh", "public": "p", "attended": True, **more}


def looked(kind: Kind, *rows: dict[str, Any], pruned: bool = False) -> Beside:
    """What was told by rows in which nothing is wrong."""
    beside = Beside(pruned)
    assert [beside.row(kind, row) for row in rows] == [""] * len(rows)
    return beside


def test_an_approval_goes_on_by_one_vote_at_a_time() -> None:
    looked(
        Kind.APPROVAL,
        an_approval(kept="of the card"),
        an_approval("waiting", BY_ADA),
        an_approval("approved", BY_ADA, BY_BOB),
        an_approval("expired", BY_ADA, BY_BOB),
    )


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (an_approval("approved", BY_ADA, BY_BOB), "never given"),
        (an_approval("approved", BY_BOB), ""),
        (an_approval("approved", BY_ADA, approvers_required=1), "when it was opened"),
        (an_approval("approved", BY_ADA, proof_required="client"), "when it was opened"),
        (an_approval("approved", BY_ADA, expires_at="never"), "when it was opened"),
    ],
)
def test_an_approval_that_was_edited_between_two_rows_is_found(row: dict[str, Any], wrong: str) -> None:
    assert wrong in looked(Kind.APPROVAL, an_approval()).row(Kind.APPROVAL, row)


def test_votes_are_not_exchanged() -> None:
    beside = looked(Kind.APPROVAL, an_approval(), an_approval("waiting", BY_ADA))
    assert "never given" in beside.row(Kind.APPROVAL, an_approval("approved", BY_BOB, BY_BOB))


def test_an_approval_that_was_opened_in_rows_that_are_gone_is_bound_from_its_first_row_on() -> None:
    beside = looked(Kind.APPROVAL, an_approval("approved", BY_ADA, BY_BOB), pruned=True)
    assert beside.row(Kind.APPROVAL, an_approval("approved", BY_ADA, BY_BOB, expires_at="never"))
    assert "never given" in beside.row(Kind.APPROVAL, an_approval("expired", expires_at="never"))  # a vote is gone


def test_a_card_is_the_one_that_was_opened() -> None:
    beside = looked(Kind.APPROVAL, an_approval(kept=mark(b"card")), an_approval("withdrawn"))
    assert beside.card("a_1", b"card") == beside.card("a_2", b"of an earlier program") == ""
    assert "a_1" in beside.card("a_1", b"another card")


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ('[{"by":"os:ada","proof":"local","approve":true,"note":"fine","evidence":{}}]', True),
        ('[{"by":"os:bob","proof":"local","approve":true,"note":"","evidence":{}}]', False),
        ('[{"by":"os:ada","proof":"local","approve":true,"note":"","evidence":{"key":"k"}}]', False),
        ("[]", False),
        ("[7]", False),
        ("7", False),
        ("[", False),
    ],
)
def test_votes_are_kept_as_they_were_told_last(kept: str, found: bool) -> None:
    beside = looked(Kind.APPROVAL, an_approval(), an_approval("waiting", BY_ADA))
    assert beside.votes("a_2", b"of rows that were let go") == ""
    assert ("not those given" in beside.votes("a_1", kept.encode())) is not found


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [
        ((b"body", "", "later", 3, 3), ""),
        ((b"body", "", "later", 3, 2, 2), ""),
        ((b"body", "", "later", 3, 1, 2), "not what was given"),
        ((b"another", "", "later", 3, 0), "not what was given"),
        ((b"body", "", "much later", 3, 0), "not what was given"),
        ((b"body", "", "later", 4, 0), "not what was given"),
        ((b"body", "", "later", 3, 4), "not what was given"),
        ((b"body", "", "later", 3, -1), "not what was given"),
        ((b"body", "revoked by os:eve", "later", 3, 0), "not ended"),
    ],
)
def test_a_grant_is_the_one_that_was_given(kept: tuple[Any, ...], wrong: str) -> None:
    beside = looked(Kind.GRANT, a_grant(kept=mark(b"body")))
    assert wrong in beside.grant("g_1", *kept)
    assert bool(beside.grant("g_1", *kept)) is bool(wrong)


def test_a_grant_that_ended_stays_so() -> None:
    beside = looked(Kind.GRANT, a_grant(kept=mark(b"body")), a_grant("revoked by os:ada"))
    assert beside.grant("g_1", b"body", "revoked by os:ada", "later", 3, 1) == ""
    assert "not ended" in beside.grant("g_1", b"body", "", "later", 3, 1)
    assert "no record" in beside.grant("g_2", b"body", "", "later", 3, 1)


def test_a_grant_of_an_earlier_program_is_bound_by_its_columns() -> None:
    beside = looked(Kind.GRANT, a_grant())
    assert beside.grant("g_1", b"whatever", "", "later", 3, 1) == ""


def test_what_is_held_is_held_until_somebody_let_it_go() -> None:
    rows = [{"state": state, "freeze": id} for state, id in (("freeze", "l_1"), ("freeze", "l_2"), ("thaw", "l_1"))]
    beside = looked(Kind.FREEZE, *rows)
    assert beside.freezes(["l_2"]) == ""
    assert "`l_2` was lifted" in beside.freezes([])
    assert "tells of freeze `l_3`" in beside.freezes(["l_2", "l_3"])


def test_a_key_is_the_one_that_was_enrolled() -> None:
    beside = looked(Kind.APPROVER, a_key(), a_key(key="k_2"), a_key("revoked", key="k_2"))
    mine = ("ada", "ssh", "p", True)
    assert beside.keys({"k_1": mine}) == ""
    assert "not the one" in beside.keys({"k_1": ("ada", "ssh", "p", False)})
    assert "not the one" in beside.keys({})
    assert "tells of key `k_2`" in beside.keys({"k_1": mine, "k_2": mine})


def test_what_is_older_than_what_was_let_go_stands_in_the_tables_alone() -> None:
    beside = Beside(pruned=True)
    assert beside.grant("g_1", b"", "", "", 1, 0) == beside.freezes(["l_1"]) == beside.card("a_1", b"") == ""
    assert beside.keys({"k": ("ada", "ssh", "", True)}) == ""


@pytest.mark.parametrize("kind", [Kind.APPROVAL, Kind.GRANT, Kind.FREEZE, Kind.APPROVER])
@pytest.mark.parametrize("about", [{}, {"state": "given"}, {"state": "enrolled", "statement": None}, None])
def test_what_can_not_be_read_is_said(kind: Kind, about: Any) -> None:
    assert Beside().row(kind, about) == "what it says of people can't be read"


def test_other_rows_say_nothing_of_people() -> None:
    assert Beside().row(Kind.SIGNAL, {}) == ""


def a_leak(state: str = "accepted", **more: Any) -> dict[str, Any]:
    said = {"at": "noon", "until": "later", "false_positive": True, "reopened": 0}
    return {"state": state, "leak": "l_1", **said, **more}


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [
        (("accepted", "noon", "later", True, 0), ""),
        (("accepted", "noon", "later", False, 0), "not what was said"),
        (("accepted", "noon", "much later", True, 0), "not what was said"),
        (("rotated", "noon", "later", True, 0), "not what was said"),
        (("open", "noon", "later", True, 0), "not what was said"),
        (("open", "noon", "later", True, 1), ""),  # it was seen again since
    ],
)
def test_a_leak_is_as_it_was_said_to_be(kept: tuple[Any, ...], wrong: str) -> None:
    beside = looked(Kind.LEAK, {"leak": "l_1", "stage": "opened"}, a_leak("rotating", until=""), a_leak())
    assert wrong in (found := beside.leak("l_1", *kept))
    assert bool(found) is bool(wrong)


def test_a_leak_that_nobody_spoke_of_is_open() -> None:
    assert looked(Kind.LEAK).leak("l_1", "open", "", "", False, 0) == ""
    assert "no record" in looked(Kind.LEAK).leak("l_1", "accepted", "", "", True, 0)
    assert looked(Kind.LEAK, pruned=True).leak("l_1", "accepted", "", "", True, 0) == ""


def test_what_is_said_of_a_leak_has_to_be_readable() -> None:
    assert "can't be read" in Beside().row(Kind.LEAK, {"leak": "l_1", "state": "open"})
