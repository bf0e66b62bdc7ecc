"""What the control socket takes of keys and signatures: of the right shape, or told what was expected."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.app.door import PLAN_LIMIT, Door
from gateway.app.keys import KeyCommands
from gateway.core.approval import Voter
from gateway.core.model import Proof
from gateway.errors import ApprovalError
from tests.app.test_door import a_room
from tests.authenticator import SecurityKey
from tests.signing import Office, an_office, in_thread


def commands(office: Office) -> KeyCommands:
    """The handlers before an office."""
    parts = SimpleNamespace(proofs=office.proofs, approvals=office.approvals, store=office.store, clock=office.clock)
    return KeyCommands(parts, Door(parts))  # type: ignore[arg-type]  # as much of a gateway as they ask


async def refused(objection: str, doing: Any) -> None:
    """What is awaited has to be refused for this reason."""
    with pytest.raises(ApprovalError) as found:
        await doing
    assert found.value.objection == objection


async def test_a_signature_comes_back_with_the_answer_that_it_is_of(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, other, key = await office.asks(), await office.asks(), await office.security_key()
        asked = commands(office)
        body = {"id": row.id, "also": [other.id]} if other.id != row.id else {"id": row.id}
        made = await asked.document(body, "root")
        signed = {"nonce": made["nonce"], "signature": await in_thread(key.sign, made["document"])}
        voter = await asked.voter(row, {**body, "signed": signed}, "root")
        assert (voter.by, voter.proof) == ("ada", Proof.SIGNED)
        await refused("stale", asked.voter(row, {**body, "signed": signed}, "root"))


@pytest.mark.parametrize("signed", ["x", [], 7, {"nonce": 7, "signature": "x"}, {"nonce": "x", "signature": None}])
async def test_a_signature_of_no_shape_is_none(signed: Any, tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        await refused("shape", commands(office).voter(row, {"signed": signed}, "root"))


async def test_without_a_signature_it_is_the_user_at_the_other_end(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        voter = await commands(office).voter(await office.asks(), {"by": "eve", "name": "eve"}, "ada")
        assert (voter.by, voter.proof) == ("os:ada", Proof.LOCAL)


async def test_keys_are_added_by_whoever_is_at_the_other_end(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        asked = commands(office)
        added = await asked.add({"name": "ada", "public": SecurityKey().line, "by": "eve"}, "root")
        assert added["items"][0]["added_by"] == "os:root"
        further = await asked.add({"name": "ada", "public": SecurityKey().line}, "root")
        assert further["items"] == []
        assert (await asked.key_document({"nonce": further["nonce"]}, "root"))["document"] == further["document"]
        await refused("shape", asked.add({"name": ["ada"], "public": ""}, "root"))
        await refused("unsigned", asked.add({"name": "ada", "public": "no key"}, "root"))


async def test_who_may_only_sign_does_not_say_what_a_tool_does_without_a_signature(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        only = Voter("os:bob", Proof.LOCAL, proofs=frozenset({Proof.SIGNED}))
        await refused("not-listed", room.door.label(row, "read", only))
        assert room.labels.written == []
        await room.door.label(row, "read", replace(only, proofs=frozenset({Proof.LOCAL})))
        assert room.labels.written


@pytest.mark.parametrize("also", ["a_0000000000", {"a": 1}, 7, ["a_0000000000"] * (PLAN_LIMIT + 1)])
async def test_the_rows_of_a_signature_are_a_short_list(also: Any, tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        await refused("shape", commands(office).document({"id": row.id, "also": also}, "root"))
