"""What is signed, and what must hold of the signatures in a record; a fake says which signatures are good."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.core.approval import Chosen, Terms, Voter
from gateway.core.grants import USUAL, USUAL_USES
from gateway.core.model import Choice, Kind, Proof
from gateway.core.record import stamp
from gateway.core.signed import (
    ApproverKey,
    Heard,
    KeyKind,
    Signatures,
    approval_document,
    challenge,
    enrolment,
    evidence,
    key_document,
    key_of,
    same_answer,
    terms_of,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)
ADA = ApproverKey("k1", "ada", KeyKind.SSH, "public of k1", True)
OTHER = ApproverKey("k2", "ada", KeyKind.PASSKEY, "public of k2", True)
BOB = ApproverKey("k3", "bob", KeyKind.SSH, "public of k3", False)
STATEMENT = {"approval": "a_1", "arguments_digest": "00"}


def listen(kind: KeyKind, public: str, document: str, signature: Any) -> Heard:
    """A signature is the public key and what it says."""
    by, said = signature
    return Heard(said) if by == public else Heard.BAD


def signature(key: ApproverKey, document: str, said: Heard = Heard.GOOD) -> Mapping[str, Any]:
    return evidence(key, document, [key.public, said.value], attended=True)


def document(choice: Choice = Choice.ONCE, *statements: Mapping[str, str], **terms: Any) -> str:
    return approval_document("n", Terms(choice, **terms), statements or [STATEMENT])


def a_vote(key: ApproverKey = ADA, text: str = "", *, approve: bool = True, **more: Any) -> dict[str, Any]:
    said = signature(key, text or document())
    return {"by": key.name, "proof": "signed", "approve": approve, "evidence": said, **more}


def an_approval(*votes: Mapping[str, Any], state: str = "approved", proof: str = "signed") -> dict[str, Any]:
    return {"state": state, "proof": proof, "votes": votes, "statement": STATEMENT}


def looked(*keys: ApproverKey, pruned: bool = False) -> Signatures:
    """A record in which these keys were enrolled, each the first of its name or assumed."""
    signatures = Signatures(listen, pruned)
    for key in keys:
        signatures.assume(key)
    return signatures


# --- what is signed --------------------------------------------------------------------------------------------------


def test_a_document_holds_what_was_chosen_and_the_statement_of_each_row() -> None:
    text = document(Choice.PATTERN, STATEMENT, {"approval": "a_2"}, until=LATER, uses=3)
    said = msgspec.json.decode(text)
    assert said == {
        "format": "wardgate-approval/1",
        "nonce": "n",
        "choice": "pattern",
        "until": stamp(LATER),
        "uses": 3,
        "statements": [STATEMENT, {"approval": "a_2"}],
    }
    assert len(challenge(text)) == 32


def test_a_document_for_a_vouch_holds_the_values() -> None:
    assert msgspec.json.decode(document(Choice.VOUCH, until=LATER, uses=1, values=("x@y",)))["values"] == ["x@y"]


@pytest.mark.parametrize(
    ("body", "terms"),
    [
        ({}, Terms(Choice.ONCE)),
        ({"choice": "once", "minutes": 5}, Terms(Choice.ONCE)),
        ({"choice": "deny"}, Terms(Choice.DENY)),
        ({"choice": "arguments"}, Terms(Choice.ARGUMENTS, NOW + USUAL, USUAL_USES)),
        ({"choice": "session", "minutes": 30, "uses": 2}, Terms(Choice.SESSION, LATER, 2)),
        ({"choice": "vouch", "minutes": 30, "values": ["a"]}, Terms(Choice.VOUCH, LATER, USUAL_USES, ("a",))),
    ],
    ids=str,
)
def test_the_terms_are_those_of_the_answer(body: Mapping[str, Any], terms: Terms) -> None:
    assert terms_of(body, NOW) == terms


@pytest.mark.parametrize("choice", ["edit", "all", 7])
def test_an_edit_is_not_signed_nor_is_what_there_is_not(choice: object) -> None:
    with pytest.raises(ValueError):
        terms_of({"choice": choice}, NOW)


def test_two_answers_are_the_same_if_what_is_signed_of_them_is() -> None:
    body = {"choice": "arguments", "minutes": 5, "uses": None, "note": "a"}
    assert same_answer(body, {**body, "note": "b", "values": []})
    assert not same_answer(body, {**body, "minutes": 6})
    assert not same_answer(body, {**body, "choice": "once"})


@pytest.mark.parametrize(
    ("signed", "chosen", "admitted"),
    [
        (Choice.ONCE, Chosen(Choice.ONCE), True),
        (Choice.ONCE, Chosen(Choice.ARGUMENTS), False),
        (Choice.PATTERN, Chosen(Choice.ONCE), True),
        (Choice.DENY, Chosen(Choice.ONCE), False),
        (Choice.BAR, Chosen(Choice.ONCE), False),
        (Choice.SESSION, Chosen(Choice.SESSION), True),
        (Choice.SESSION, Chosen(Choice.SESSION, uses=2), False),
        (Choice.SESSION, Chosen(Choice.SESSION, until=LATER), False),
        (Choice.VOUCH, Chosen(Choice.VOUCH, values=("a",)), False),
    ],
)
def test_terms_admit_what_was_signed_or_once(signed: Choice, chosen: Chosen, admitted: bool) -> None:
    assert Terms(signed).admit(chosen) is admitted


@pytest.mark.parametrize("choice", Choice)
def test_all_choices_but_the_two_denials_say_yes(choice: Choice) -> None:
    assert Chosen(choice).approves is (choice not in (Choice.DENY, Choice.BAR))


def test_an_approvers_yes_counts_by_the_proofs_that_the_configuration_lists() -> None:
    assert Voter("x", Proof.LOCAL).may_approve
    assert Voter("x", Proof.LOCAL, proofs={Proof.LOCAL}).may_approve
    assert not Voter("x", Proof.LOCAL, proofs={Proof.SIGNED}).may_approve


@pytest.mark.parametrize(
    ("attended", "heard", "present"),
    [
        (True, Heard.GOOD, True),
        (False, Heard.GOOD, False),
        (False, Heard.PRESENT, True),
        (True, Heard.ABSENT, False),
        (True, Heard.BAD, False),
    ],
)
def test_presence_is_what_the_signature_says_or_else_the_enrolment(attended: bool, heard: Heard, present: bool) -> None:
    assert ApproverKey("k", "ada", KeyKind.SSH, "p", attended).present(heard) is present


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_key_is_read_back_from_its_record() -> None:
    assert key_of(enrolment(ADA, "enrolled", "os:ada")) == ADA


def test_keys_that_were_enrolled_and_revoked_in_order_are_fine() -> None:
    signatures = looked()
    assert signatures.row(Kind.APPROVER, enrolment(ADA, "enrolled", "os:ada")) == ""
    endorsed = signature(ADA, key_document("n", "g", OTHER))
    assert signatures.row(Kind.APPROVER, enrolment(OTHER, "enrolled", "os:ada", endorsed=endorsed)) == ""
    assert signatures.row(Kind.APPROVER, enrolment(BOB, "enrolled", "os:bob")) == ""
    assert signatures.row(Kind.APPROVER, enrolment(ADA, "revoked", "os:ada")) == ""
    assert signatures.row(Kind.INTENT, {}) == ""


@pytest.mark.parametrize(
    "endorsed",
    [
        None,
        signature(BOB, key_document("n", "g", OTHER)),
        signature(OTHER, key_document("n", "g", OTHER)),
        signature(ADA, key_document("n", "g", OTHER), Heard.BAD),
        signature(ADA, key_document("n", "g", BOB)),
        signature(ADA, "no document"),
    ],
)
def test_a_further_key_that_nobody_signed_for_is_found(endorsed: object) -> None:
    about = enrolment(OTHER, "enrolled", "os:ada", endorsed=endorsed)
    assert looked(ADA, BOB).row(Kind.APPROVER, about)


def test_a_key_that_was_enrolled_twice_or_revoked_without_is_found() -> None:
    assert looked(ADA).row(Kind.APPROVER, enrolment(ADA, "enrolled", "os:ada"))
    assert looked().row(Kind.APPROVER, enrolment(ADA, "revoked", "os:ada"))
    assert looked(pruned=True).row(Kind.APPROVER, enrolment(ADA, "revoked", "os:ada")) == ""


def test_a_signed_approval_is_fine() -> None:
    for about in (
        an_approval(a_vote()),
        an_approval(a_vote(text=document(Choice.DENY), approve=False), state="denied"),
        an_approval(a_vote(), {"by": "os:x", "proof": "local", "approve": True}, proof="local"),
        an_approval(state="waiting", proof=""),
        an_approval(a_vote(text=document(Choice.ONCE, {"approval": "a_0"}, STATEMENT))),
    ):
        assert looked(ADA).row(Kind.APPROVAL, about) == "", about


@pytest.mark.parametrize(
    "vote",
    [
        a_vote(evidence={}),
        a_vote(evidence=None),
        a_vote(evidence={"key": "k1"}),
        a_vote(by="bob"),
        a_vote(BOB),  # it signs with nobody there
        a_vote(OTHER),  # not enrolled
        a_vote(text=document(Choice.ONCE, {"approval": "a_2"})),
        a_vote(text=document(Choice.DENY)),
        a_vote(text=document(Choice.EDIT)),
        a_vote(text=key_document("n", "g", OTHER)),
        a_vote(text="[]"),
        a_vote(text="no json"),
        a_vote(evidence=signature(ADA, document(), Heard.BAD)),
        a_vote(evidence=signature(ADA, document(), Heard.ABSENT)),
    ],
)
def test_a_vote_whose_signature_does_not_hold_is_found(vote: Mapping[str, Any]) -> None:
    assert looked(ADA, BOB).row(Kind.APPROVAL, an_approval(vote))


def test_an_approval_that_says_signed_needs_every_vote_to_be() -> None:
    local = {"by": "os:x", "proof": "local", "approve": True}
    assert looked(ADA).row(Kind.APPROVAL, an_approval(a_vote(), local))
    assert looked(ADA).row(Kind.APPROVAL, an_approval())
    assert looked(ADA).row(Kind.APPROVAL, {})


def a_grant(scope: Choice = Choice.PATTERN, **more: Any) -> dict[str, Any]:
    told = {"state": "given", "proof": "signed", "from": "a_1", "scope": scope.value, "expires_at": stamp(LATER)}
    return {**told, "uses": 3, **more}


@pytest.mark.parametrize(
    ("grant", "fine"),
    [
        (a_grant(), True),
        (a_grant(uses=4), False),
        (a_grant(expires_at=stamp(NOW)), False),
        (a_grant(Choice.SESSION), False),
        (a_grant(value="x"), False),
        (a_grant(**{"from": "a_2"}), False),
        (a_grant(proof="local", uses=9), True),
        (a_grant(state="revoked by ada", uses=9), True),
    ],
)
def test_a_grant_is_the_one_that_was_signed(grant: Mapping[str, Any], fine: bool) -> None:
    signatures = looked(ADA)
    vote = a_vote(text=document(Choice.PATTERN, until=LATER, uses=3))
    assert signatures.row(Kind.APPROVAL, an_approval(vote)) == ""
    assert (signatures.row(Kind.GRANT, grant) == "") is fine


def test_a_vouch_is_for_the_values_that_were_signed() -> None:
    signatures = looked(ADA)
    vote = a_vote(text=document(Choice.VOUCH, until=LATER, uses=3, values=("x",)))
    assert signatures.row(Kind.APPROVAL, an_approval(vote)) == ""
    assert signatures.row(Kind.GRANT, a_grant(Choice.VOUCH, value="x")) == ""
    assert signatures.row(Kind.GRANT, a_grant(Choice.VOUCH, value="y"))


def test_a_grant_whose_card_was_let_go_is_not_judged() -> None:
    assert looked(ADA, pruned=True).row(Kind.GRANT, a_grant()) == ""
    assert looked(ADA).row(Kind.GRANT, a_grant())
