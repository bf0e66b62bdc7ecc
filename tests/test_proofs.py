"""Proofs: which keys are enrolled by whom, and what a signature is good for: once, soon, and for what it says."""

import json
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals.asked import LASTS, MOST
from gateway.approvals.keyring import MOST_KEYS
from gateway.approvals.proofs import EndorsementError, Proofs
from gateway.core.model import Kind, Proof
from gateway.core.record import stamp
from gateway.core.signed import KeyKind
from gateway.errors import ApprovalError
from tests.authenticator import Passkey, SecurityKey, SshKey
from tests.fakes import KEY, a_call
from tests.signing import APPROVERS, ONCE, ORIGIN, Office, an_office, in_thread

SECRET = "correct horse"


async def refused(objection: str, doing: Any) -> None:
    """What is awaited has to be refused for this reason."""
    with pytest.raises(ApprovalError) as found:
        await doing
    assert found.value.objection == objection


async def a_further(office: Office, key: SecurityKey, name: str = "ada") -> EndorsementError:
    with pytest.raises(EndorsementError) as waits:
        await office.proofs.enrol_ssh(name, key.line, "", "", "os:ada")
    return waits.value


# --- enrolment -------------------------------------------------------------------------------------------------------


async def test_the_first_key_of_a_name_is_taken_as_it_is_and_recorded(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        made = await office.passkey()
        (key,) = await office.proofs.keys("ada")
        assert (key.name, key.kind, key.attended, key.added_by) == ("ada", KeyKind.PASSKEY, True, "os:ada")
        (record,) = office.records(Kind.APPROVER)
        assert (record.extra["state"], record.extra["key"], record.extra["by"]) == ("enrolled", key.id, "os:ada")
        assert made.counter == key.counter


@pytest.mark.parametrize("name", ["cy", "nobody", ""])
async def test_nobody_gets_a_key_who_may_not_sign(name: str, tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await refused("not-permitted", office.proofs.enrol_options(name, ORIGIN))
        await refused("not-permitted", office.proofs.enrol_ssh(name, SecurityKey().line, "", "", "os:ada"))
        assert not await office.proofs.keys()
        assert not office.records(Kind.APPROVER)


async def test_a_further_key_needs_the_signature_of_one_of_the_same_name(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        first, second = await office.security_key(), SecurityKey()
        waits = await a_further(office, second)
        assert len(await office.proofs.keys()) == 1
        signature = await in_thread(first.sign, office.proofs.endorse_document(waits.nonce))
        id, why = await office.proofs.endorse_ssh(waits.nonce, signature)
        assert why == ""
        assert id in {key.id for key in await office.proofs.keys("ada")}
        assert office.records(Kind.APPROVER)[-1].extra["endorsed"]["document"] == waits.document


async def test_a_passkey_endorses_an_ssh_key_and_an_ssh_key_a_passkey(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        passkey, key, third = await office.passkey(), SecurityKey(), Passkey()
        waits = await a_further(office, key)
        await office.proofs.endorse(passkey.get(await office.proofs.endorse_options(waits.nonce)), ORIGIN)
        options = await office.proofs.enrol_options("ada", ORIGIN)
        with pytest.raises(EndorsementError) as found:
            await office.proofs.enrol("ada", third.create(options), "ada", ORIGIN)
        await office.proofs.endorse_ssh(found.value.nonce, await in_thread(key.sign, found.value.document))
        assert len(await office.proofs.keys("ada")) == 3


async def test_a_key_of_somebody_else_endorses_nothing(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await office.security_key("ada")
        foreign = await office.security_key("bob")
        waits = await a_further(office, SecurityKey())
        signature = await in_thread(foreign.sign, waits.document)
        await refused("not-permitted", office.proofs.endorse_ssh(waits.nonce, signature))
        assert len(await office.proofs.keys("ada")) == 1


async def test_an_endorsement_is_of_one_key_and_counts_once(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        first = await office.security_key()
        one, other = await a_further(office, SecurityKey()), await a_further(office, SecurityKey())
        signature = await in_thread(first.sign, one.document)
        await refused("unsigned", office.proofs.endorse_ssh(other.nonce, signature))
        await office.proofs.endorse_ssh(one.nonce, signature)
        await refused("stale", office.proofs.endorse_ssh(one.nonce, signature))
        assert len(await office.proofs.keys("ada")) == 2


async def test_a_name_without_a_passkey_is_told_to_endorse_by_ssh(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await office.security_key()
        waits = await a_further(office, SecurityKey())
        with pytest.raises(ApprovalError, match=waits.nonce):
            await office.proofs.endorse_options(waits.nonce)


async def test_a_key_is_enrolled_once_and_for_one_name(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.security_key("ada")
        await refused("repeated", office.proofs.enrol_ssh("ada", key.line, "", "", "os:ada"))
        await refused("repeated", office.proofs.enrol_ssh("bob", key.line, "", "", "os:bob"))


async def test_a_name_has_only_so_many_keys(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        first = await office.security_key()
        for _ in range(MOST_KEYS - 1):
            waits = await a_further(office, SecurityKey())
            await office.proofs.endorse_ssh(waits.nonce, await in_thread(first.sign, waits.document))
        await refused("limit", office.proofs.enrol_ssh("ada", SecurityKey().line, "", "", "os:ada"))


async def test_a_revoked_key_signs_nothing_any_more(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        (enrolled,) = await office.proofs.keys()
        assert (await office.proofs.revoke(enrolled.id[:12], "os:ada")).id == enrolled.id
        assert office.records(Kind.APPROVER)[-1].extra["state"] == "revoked"
        await refused("not-permitted", office.sign(key, row))
        await refused("unknown", office.proofs.revoke(enrolled.id, "os:ada"))
        await refused("unknown", office.proofs.revoke("", "os:ada"))


async def test_a_beginning_of_several_keys_revokes_none(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await office.security_key("ada")
        await office.security_key("bob")
        await refused("unknown", office.proofs.revoke("SHA256:", "os:ada"))
        assert len(await office.proofs.keys()) == 2


async def test_two_who_revoke_a_key_at_the_same_moment_revoke_it_once(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await office.security_key()
        (enrolled,) = await office.proofs.keys()
        heard: list[str] = []

        async def revoke() -> None:
            try:
                await office.proofs.revoke(enrolled.id, "os:ada")
                heard.append("revoked")
            except ApprovalError as problem:
                heard.append(problem.objection)

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(revoke)
        assert sorted(heard) in (["revoked", "settled"], ["revoked", "unknown"])
        assert [record.extra["state"] for record in office.records(Kind.APPROVER)] == ["enrolled", "revoked"]


async def test_who_may_sign_no_more_is_refused_though_the_key_is_there(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        fewer = {**APPROVERS, "ada": replace(APPROVERS["ada"], proofs=frozenset({Proof.LOCAL}))}
        office.proofs = Proofs(office.store, office.clock, KEY, fewer)
        await refused("not-permitted", office.sign(key, row))


# --- signing in ------------------------------------------------------------------------------------------------------


async def test_who_signs_in_is_told_by_the_passkey(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        for name in ("ada", "bob"):
            key = await office.passkey(name)
            assert await office.proofs.sign_in(key.get(await office.proofs.sign_in_options(ORIGIN)), ORIGIN) == name


async def test_an_answer_signs_in_once_and_from_its_own_page(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.passkey()
        answer = key.get(await office.proofs.sign_in_options(ORIGIN))
        assert await office.proofs.sign_in(answer, ORIGIN) == "ada"
        await refused("stale", office.proofs.sign_in(answer, ORIGIN))
        answer = key.get(await office.proofs.sign_in_options(ORIGIN))
        await refused("unsigned", office.proofs.sign_in(answer, "http://localhost:1"))
        await refused("stale", office.proofs.sign_in(answer, ORIGIN))


async def test_a_late_answer_signs_nobody_in(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.passkey()
        answer = key.get(await office.proofs.sign_in_options(ORIGIN))
        office.clock.advance(LASTS.total_seconds())
        await refused("stale", office.proofs.sign_in(answer, ORIGIN))


async def test_a_passkey_that_nobody_enrolled_signs_nobody_in(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        answer = Passkey().get(await office.proofs.sign_in_options(ORIGIN))
        await refused("not-permitted", office.proofs.sign_in(answer, ORIGIN))
        await refused("unsigned", office.proofs.sign_in({}, ORIGIN))


async def test_a_copy_of_a_passkey_is_found_by_its_counter(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.passkey()
        twin = copy(key)
        await office.proofs.sign_in(key.get(await office.proofs.sign_in_options(ORIGIN)), ORIGIN)
        await refused("unsigned", office.proofs.sign_in(twin.get(await office.proofs.sign_in_options(ORIGIN)), ORIGIN))


async def test_a_passkey_that_does_not_count_signs_again_and_again(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.passkey(counts=False)
        for _ in range(3):
            await office.proofs.sign_in(key.get(await office.proofs.sign_in_options(ORIGIN)), ORIGIN)


async def test_two_answers_with_one_counter_count_once(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        key = await office.passkey()
        twin = copy(key)
        answers = [each.get(await office.proofs.sign_in_options(ORIGIN)) for each in (key, twin)]
        heard: list[str] = []

        async def sign_in(answer: dict[str, Any]) -> None:
            try:
                heard.append(await office.proofs.sign_in(answer, ORIGIN))
            except ApprovalError as problem:
                heard.append(problem.objection)

        async with anyio.create_task_group() as tasks:
            for answer in answers:
                tasks.start_soon(sign_in, answer)
        assert heard.count("ada") == 1


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8765", "https://localhost:8765", "http://evil.example", ""])
async def test_passkeys_are_for_pages_of_localhost(origin: str, tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        await office.passkey()
        await refused("origin", office.proofs.enrol_options("ada", origin))
        await refused("origin", office.proofs.sign_in_options(origin))
        await refused("origin", office.proofs.sign_options([row], ONCE, origin))
        await refused("origin", office.proofs.sign_in({}, origin))


# --- who answers, and what is to be signed ---------------------------------------------------------------------------


async def test_who_answers_without_a_signature_has_the_roles_and_proofs_of_the_configuration(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        ada, bob, other = (office.proofs.voter(name) for name in ("os:ada", "bob", "os:eve"))
        assert (ada.by, ada.proof, ada.roles) == ("os:ada", Proof.LOCAL, {"mail-admin"})
        assert (ada.may_approve, bob.may_approve, other.may_approve) == (True, False, True)


async def test_a_signature_names_its_approver_and_carries_what_proves_it(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        for voter in (
            await office.touch(await office.passkey("ada"), row),
            await office.sign(await office.security_key("bob"), row),
        ):
            assert voter.proof is Proof.SIGNED
            assert voter.roles == APPROVERS[voter.by].roles
            assert voter.signed_for == {row.id}
            assert row.arguments_digest in voter.evidence["document"]
            assert voter.evidence["attended"] is True


async def test_an_unattended_keys_signature_weighs_as_local(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        key = await in_thread(SshKey.make, tmp_path / "bare")
        _, why = await office.proofs.enrol_ssh("ada", key.line, str(key.file), "", "os:ada")
        assert why
        assert not (await office.proofs.keys())[0].attended
        voter = await office.sign(key, row)
        assert (voter.by, voter.proof, voter.evidence["attended"]) == ("ada", Proof.LOCAL, False)


async def test_a_key_with_a_passphrase_signs(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        key = await in_thread(SshKey.make, tmp_path / "locked", SECRET)
        _, why = await office.proofs.enrol_ssh("ada", key.line, str(key.file), "", "os:ada")
        assert why == ""
        assert (await office.sign(key, row)).proof is Proof.SIGNED


async def test_a_security_key_that_was_not_touched_weighs_as_local(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        key.touched = False
        assert (await office.sign(key, row)).proof is Proof.LOCAL


async def test_a_signature_over_something_else_or_of_nobodys_key_counts_for_nothing(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        made = office.proofs.document([row], ONCE)
        forged = await in_thread(key.sign, made["document"].replace("once", "edit"))
        await refused("unsigned", office.proofs.ssh_signed([row], ONCE, made["nonce"], forged))
        await refused("not-permitted", office.sign(SecurityKey(), row))
        made = office.proofs.document([row], ONCE)
        await refused("unsigned", office.proofs.ssh_signed([row], ONCE, made["nonce"], "no signature"))


async def test_a_signature_is_used_once_and_in_time(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        made = office.proofs.document([row], ONCE)
        signature = await in_thread(key.sign, made["document"])
        await office.proofs.ssh_signed([row], ONCE, made["nonce"], signature)
        await refused("stale", office.proofs.ssh_signed([row], ONCE, made["nonce"], signature))
        await refused("stale", office.proofs.ssh_signed([row], ONCE, "forged", signature))
        await refused("stale", office.proofs.ssh_signed([row], ONCE, "\ud800", signature))
        made = office.proofs.document([row], ONCE)
        signature = await in_thread(key.sign, made["document"])
        office.clock.advance(LASTS.total_seconds())
        await refused("stale", office.proofs.ssh_signed([row], ONCE, made["nonce"], signature))


async def test_what_was_to_be_signed_is_forgotten_by_a_restart(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        made = office.proofs.document([row], ONCE)
        signature = await in_thread(key.sign, made["document"])
        office.proofs = Proofs(office.store, office.clock, KEY, APPROVERS)
        await refused("stale", office.proofs.ssh_signed([row], ONCE, made["nonce"], signature))
        assert (await office.sign(key, row)).proof is Proof.SIGNED  # the key is still enrolled


async def test_a_signature_is_for_its_rows_and_its_answer_only(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, other = await office.asks(), await office.asks(call=a_call(2, path="b.txt"))
        key = await office.security_key()
        for rows, body in (([other], ONCE), ([row, other], ONCE), ([row], {"choice": "arguments"}), ([], ONCE)):
            made = office.proofs.document([row], ONCE)
            signature = await in_thread(key.sign, made["document"])
            await refused("unsigned", office.proofs.ssh_signed(rows, body, made["nonce"], signature))


@pytest.mark.parametrize(
    "body",
    [
        {"choice": "edit"},
        {"choice": "all"},
        {"choice": "arguments", "minutes": "x"},
        {"choice": "pattern", "minutes": 1e300},
    ],
    ids=str,
)
async def test_what_can_not_be_signed_is_told_so(body: dict[str, Any], tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        await office.passkey()
        await refused("choice", office.proofs.sign_options([row], body, ORIGIN))


async def test_without_a_passkey_nobody_is_asked_for_one(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await refused("unknown", office.proofs.sign_options([await office.asks()], ONCE, ORIGIN))


async def test_the_oldest_that_waits_is_forgotten_where_too_much_does(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        first = office.proofs.document([row], ONCE)
        for _ in range(MOST):
            last = office.proofs.document([row], ONCE)
        await refused("stale", office.proofs.ssh_signed([row], ONCE, first["nonce"], ""))
        signature = await in_thread(key.sign, last["document"])
        assert (await office.proofs.ssh_signed([row], ONCE, last["nonce"], signature)).by == "ada"


async def test_whoever_asks_to_sign_in_drives_out_nothing_that_waits_to_be_signed(tmp_path: Path) -> None:
    """Nobody is known there yet, so that anybody may ask, as often as they like."""
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
        made = office.proofs.document([row], ONCE)
        for _ in range(2 * MOST):
            await office.proofs.sign_in_options(ORIGIN)
        signature = await in_thread(key.sign, made["document"])
        assert (await office.proofs.ssh_signed([row], ONCE, made["nonce"], signature)).by == "ada"


async def test_a_signed_grant_stands_no_longer_than_it_may_where_nobody_says_how_long(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        proofs = Proofs(office.store, office.clock, KEY, APPROVERS, timedelta(minutes=10))
        document = proofs.document([await office.asks()], {"choice": "arguments"})["document"]
        assert json.loads(document)["until"] == stamp(office.clock.now() + timedelta(minutes=10))
