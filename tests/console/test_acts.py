"""What a signed-in tab does: each act reaches the gate once, as exactly what was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.approval import Voter
from gateway.core.model import Approval, Proof
from gateway.errors import ApprovalError, RecordError
from tests.console.room import DANGER, FIRST, HERE, SECOND, Tab, a_room, signed_in


@dataclass
class FakeProofs:
    """Passkeys of which every answer is good that says whose it is."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    waits: bool = False
    only_ssh: bool = False

    async def enrol_options(self, name: str, origin: str) -> Mapping[str, Any]:
        self.asked.append(("enrol", name, origin))
        return {"challenge": "c"}

    async def enrol(self, name: str, answer: Mapping[str, Any], by: str, origin: str) -> tuple[str, str]:
        self.asked.append(("enrolled", name, by, origin))
        return ("", "nonce") if self.waits else ("key", "")

    async def endorse_options(self, nonce: str) -> Mapping[str, Any]:
        if self.only_ssh:
            raise ApprovalError("no passkey is enrolled that could sign", "unknown")
        return {"challenge": nonce}

    async def endorse(self, answer: Mapping[str, Any], origin: str) -> str:
        return "key"

    async def sign_in_options(self, origin: str) -> Mapping[str, Any]:
        return {"challenge": origin}

    async def sign_in(self, answer: Mapping[str, Any], origin: str) -> str:
        if not answer.get("good"):
            raise ApprovalError("that proves nothing", "unsigned")
        return "ada"

    async def sign_options(self, rows: Sequence[Approval], body: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
        self.asked.append(("sign", tuple(row.id for row in rows), dict(body), origin))
        return {"challenge": "s"}

    async def signed(
        self, rows: Sequence[Approval], body: Mapping[str, Any], answer: Mapping[str, Any], origin: str
    ) -> Voter:
        self.asked.append(("signed", tuple(row.id for row in rows), dict(body), origin))
        return Voter("ada", Proof.SIGNED if answer.get("attended") else Proof.LOCAL)


async def shown(room: Any, tab: Tab, id: str) -> Approval:
    """A row whose card has stood in the tab for long enough."""
    await tab.get(f"/data/approvals/{id}")
    room.read()
    row: Approval = room.gate.rows[id]
    return row


async def test_a_grant_is_given_as_it_was_chosen_and_nothing_else_of_the_body_counts() -> None:
    async with signed_in() as (room, tab):
        row = await shown(room, tab, FIRST)
        chosen = {"choice": "pattern", "minutes": 15, "uses": 3, "note": "for today", "also": [SECOND]}
        more = {"approve": True, "by": "os:root", "proof": "signed", "arguments": "{}", "values": []}
        answer = await tab.answer(row, **chosen, **more)
        assert answer.json() == {"id": FIRST, "state": "approved", "edited": False, "by": "os:ada"}
        assert room.gate.bodies == [chosen]


async def test_edited_arguments_stay_exact_and_are_only_put_on_a_card() -> None:
    async with signed_in() as (room, tab):
        row = await shown(room, tab, DANGER)
        answer = await tab.answer(row, choice="edit", arguments='{"n": 12345678901234567890, "a": 1.0}', approve=True)
        assert answer.json()["edited"] is True
        assert room.gate.bodies == [{"choice": "edit", "arguments": {"n": 12345678901234567890, "a": 1.0}}]
        for wrong in ("[1]", "{", '"x"', 7, None, "[" * 5000):
            refused = await tab.answer(row, choice="edit", arguments=wrong)
            assert (refused.status_code, refused.json()["objection"]) == (409, "invalid-arguments")


async def test_a_denial_needs_no_waiting_and_no_name() -> None:
    async with signed_in() as (room, tab):
        for id, choice in ((FIRST, "deny"), (DANGER, "bar")):
            answer = await tab.answer(room.gate.rows[id], choice=choice, note="no")
            assert answer.json()["state"] == "denied"
        assert [done[0] for done in room.gate.done] == ["deny", "bar"]


async def test_labels_grants_and_freezes_reach_the_gate_under_the_signed_in_name() -> None:
    async with signed_in() as (room, tab):
        room.gate.a_grant()
        await shown(room, tab, FIRST)
        assert (await tab.post(f"/do/approvals/{FIRST}/label", {"effect": "read"})).json() == {"again": 1}
        assert (await tab.post("/do/grants/g_0000000001/revoke")).status_code == 200
        assert (await tab.post("/do/grants/g_0000000002/revoke")).status_code == 404
        assert (await tab.post("/do/freeze", {"all": True, "note": "why"})).status_code == 200
        assert (await tab.post("/do/freeze", {"session": "s1"})).status_code == 200
        assert (await tab.post("/do/thaw", {"all": True})).json() == {"count": 2}
        assert room.gate.done == [
            ("label", FIRST, "read", "os:ada"),
            ("revoke", "g_0000000001", "os:ada"),
            ("freeze", "", "", "os:ada", "why"),
            ("freeze", "", "s1", "os:ada", ""),
            ("thaw", "", "", "os:ada", True),
        ]


async def test_a_freeze_says_what_it_is_of() -> None:
    async with signed_in() as (room, tab):
        for body in ({}, {"all": "yes"}, {"all": True, "upstream": "files"}):
            assert (await tab.post("/do/freeze", body)).status_code == 409
        assert room.gate.done == []


async def test_a_gateway_that_is_broken_says_so() -> None:
    async with signed_in() as (room, tab):

        async def broken(*_: Any) -> Any:
            raise RecordError("the record can't be written")

        room.gate.freeze = broken  # type: ignore[method-assign]  # the disk is full
        answer = await tab.post("/do/freeze", {"all": True})
        assert (answer.status_code, answer.json()["error"]) == (503, "the record can't be written")


async def test_a_signature_is_asked_for_and_counted_over_the_same_answer() -> None:
    proofs = FakeProofs()
    async with signed_in(proofs) as (room, tab):
        row = await shown(room, tab, DANGER)
        body = {"choice": "arguments", "minutes": 5, "also": [FIRST]}
        asked = await tab.post(f"/do/approvals/{row.id}/challenge", {**body, "digest": row.arguments_digest})
        assert asked.json() == {"challenge": "s"}
        answer = await tab.answer(row, **body, passkey={"attended": True})
        assert answer.json()["by"] == "ada"
        of = ((DANGER, FIRST), body, HERE)
        assert proofs.asked == [("sign", *of), ("signed", *of)]
        assert room.gate.done == [("arguments", DANGER, "ada", Proof.SIGNED)]


async def test_a_signature_for_which_nobody_was_there_is_no_typed_name() -> None:
    async with signed_in(FakeProofs()) as (room, tab):
        row = await shown(room, tab, DANGER)
        answer = await tab.answer(row, choice="once", passkey={"attended": False})
        assert answer.json()["objection"] == "confirm"
        assert room.gate.done == []


async def test_a_card_has_to_be_read_before_it_is_signed_for() -> None:
    proofs = FakeProofs()
    async with signed_in(proofs) as (room, tab):
        row = room.gate.rows[FIRST]
        body = {"choice": "once", "digest": row.arguments_digest}
        assert (await tab.post(f"/do/approvals/{FIRST}/challenge", body)).json()["objection"] == "unread"
        assert (await tab.answer(row, choice="once", passkey={"attended": True})).json()["objection"] == "unread"
        assert (proofs.asked, room.gate.done) == ([], [])


async def test_a_passkey_signs_in_under_its_approvers_name() -> None:
    async with a_room(FakeProofs()) as room, room.browser() as http:
        tab = Tab(http)
        assert (await tab.post("/do/sign-in/options")).json() == {"challenge": HERE}
        assert (await tab.post("/do/sign-in", {"passkey": {"good": False}})).status_code == 409
        assert (await tab.post("/do/sign-in", {"passkey": "good"})).status_code == 409
        assert (await tab.post("/do/sign-in", {})).status_code == 409
        assert room.signins.count == 0
        assert (await tab.post("/do/sign-in", {"passkey": {"good": True}})).json()["name"] == "ada"


async def test_a_passkey_is_enrolled_for_whoever_is_signed_in_and_a_further_one_is_endorsed() -> None:
    proofs = FakeProofs()
    async with signed_in(proofs) as (_, tab):
        assert (await tab.post("/do/passkeys/options", {"name": "root"})).json() == {"challenge": "c"}
        assert (await tab.post("/do/passkeys", {"passkey": {}, "name": "root"})).json() == {"id": "key"}
        assert proofs.asked == [("enrol", "ada", HERE), ("enrolled", "ada", "os:ada", HERE)]
        proofs.waits = True
        assert (await tab.post("/do/passkeys", {"passkey": {}})).json() == {"challenge": "nonce"}
        assert (await tab.post("/do/passkeys/endorse", {"passkey": {}})).json() == {"id": "key"}
        proofs.only_ssh = True
        assert (await tab.post("/do/passkeys", {"passkey": {}})).json() == {"code": "nonce"}


async def test_without_the_extra_passkeys_are_not_there() -> None:
    async with signed_in() as (_, tab):
        for path in ("/do/sign-in/options", "/do/passkeys/options", "/do/passkeys"):
            answer = await tab.post(path, {"passkey": {}})
            assert (answer.status_code, answer.json()["objection"]) == (409, "passkey")
        assert "wardgate[passkey]" in (await tab.get("/data/you")).text
