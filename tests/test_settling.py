"""Settling an approval, whatever the door: what was signed is what is given, by whom, once, and by nobody who asked."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.approvals.proofs import Proofs
from gateway.core.approval import Chosen, Voter
from gateway.core.model import Approval, ApprovalState, Choice, Kind, Labels, Proof, Tool
from gateway.errors import ApprovalError
from gateway.records import Records
from gateway.store import open_store
from tests.authenticator import SshKey
from tests.fakes import DEADLINE, KEY, NOON, FakeClock, a_call, a_record, a_tool, an_ask
from tests.signing import APPROVERS, ONCE, SIGNED, Office, an_office, in_thread
from tests.store.keep import AT_ONCE, on_disk, whole

LABELLED = replace(a_tool(), labels=Labels(a_tool().effect, sinks={}, payload=("text",)))
HOUR = {"choice": "arguments", "minutes": 60, "uses": 5}
ALIKE = {**HOUR, "choice": "pattern"}


async def refused(objection: str, doing: Any) -> None:
    """What is awaited has to be refused for this reason."""
    with pytest.raises(ApprovalError) as found:
        await doing
    assert found.value.objection == objection


async def state_of(office: Office, row: Approval) -> ApprovalState:
    return (await office.approvals.show(row.id)).state


async def two_alike(office: Office) -> list[Approval]:
    """Two rows that one pattern covers."""
    calls = [a_call(number, path="a.txt", text=f"text {number}") for number in (1, 2)]
    return [await office.asks(replace(SIGNED, rules=("r",)), call, LABELLED) for call in calls]


# --- signed ----------------------------------------------------------------------------------------------------------


async def test_a_signed_answer_approves_and_stands_in_the_record_with_what_proves_it(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        after = await office.settle(row, await office.touch(await office.passkey(), row))
        assert (after.state, after.decided_by, after.proof) == (ApprovalState.APPROVED, "ada", Proof.SIGNED)
        (vote,) = office.records()[-1].extra["votes"]
        assert (vote["by"], vote["proof"], vote["evidence"]["kind"]) == ("ada", "signed", "passkey")
        assert office.records()[-1].extra["statement"]["arguments_digest"] in vote["evidence"]["document"]


async def test_where_a_signature_is_needed_nothing_less_approves(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        bare = await in_thread(SshKey.make, tmp_path / "bare")
        await office.proofs.enrol_ssh("ada", bare.line, str(bare.file), "", "os:ada")
        for voter in (office.proofs.voter("os:ada"), Voter("client:x", Proof.CLIENT), await office.sign(bare, row)):
            await refused("proof-too-weak", office.settle(row, voter, Chosen(Choice.ONCE)))
        assert await state_of(office, row) is ApprovalState.WAITING


async def test_who_claims_a_signature_without_one_approves_nothing(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        for voter in (Voter("ada", Proof.SIGNED), Voter("ada", Proof.SIGNED, signed_for=frozenset({row.id}))):
            await refused("unsigned", office.settle(row, voter, Chosen(Choice.ONCE)))


async def test_a_signature_for_one_row_approves_no_other(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, other = await office.asks(), await office.asks(call=a_call(2, path="b.txt"))
        voter = await office.touch(await office.passkey(), row)
        await refused("unsigned", office.settle(other, voter))
        assert await state_of(office, other) is ApprovalState.WAITING


@pytest.mark.parametrize(
    "more",
    [{"choice": Choice.ARGUMENTS}, {"until": NOON + timedelta(hours=2)}, {"uses": 6}, {"choice": Choice.SESSION}],
    ids=str,
)
async def test_what_was_signed_gives_no_more_than_was_signed(more: Mapping[str, Any], tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(tool=LABELLED)
        body = ONCE if "choice" in more and more["choice"] is Choice.ARGUMENTS else HOUR
        voter = await office.touch(await office.passkey(), row, body=body)
        assert voter.terms is not None
        signed = {"choice": voter.terms.choice, "until": voter.terms.until, "uses": voter.terms.uses}
        await refused("unsigned", office.settle(row, voter, Chosen(**{**signed, **more})))
        assert not await office.approvals.standings.grants()


async def test_a_grant_that_was_signed_is_given_as_it_was_signed(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(replace(SIGNED, rules=("r",)), tool=LABELLED)
        voter = await office.touch(await office.passkey(), row, body=HOUR)
        await office.settle(row, voter)
        (grant,) = await office.approvals.standings.grants()
        assert (grant.scope, grant.uses, grant.owner, grant.proof) == (Choice.ARGUMENTS, 5, "ada", Proof.SIGNED)
        assert grant.expires_at == office.clock.now() + timedelta(hours=1)


async def test_rows_that_were_signed_together_are_settled_together(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        asked = await two_alike(office)
        voter = await office.touch(await office.passkey(), *asked, body=ALIKE)
        assert voter.terms is not None
        chosen = Chosen(Choice.PATTERN, until=voter.terms.until, uses=5, also=(asked[1].id,))
        await office.settle(asked[0], voter, chosen)
        assert [await state_of(office, row) for row in asked] == [ApprovalState.APPROVED] * 2


async def test_a_row_that_was_not_signed_with_its_card_waits_on(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        asked = await two_alike(office)
        voter = await office.touch(await office.passkey(), asked[0], body=ALIKE)
        assert voter.terms is not None
        chosen = Chosen(Choice.PATTERN, until=voter.terms.until, uses=5, also=(asked[1].id,))
        await office.settle(asked[0], voter, chosen)
        assert [await state_of(office, row) for row in asked] == [ApprovalState.APPROVED, ApprovalState.WAITING]


async def test_a_signed_denial_denies(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        voter = await office.touch(await office.passkey(), row, body={"choice": "deny"})
        await refused("unsigned", office.settle(row, voter, Chosen(Choice.ONCE)))
        assert (await office.settle(row, voter, Chosen(Choice.DENY))).state is ApprovalState.DENIED


async def test_a_signature_does_not_outlive_the_row(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(an_ask(Proof.SIGNED, timeout=timedelta(minutes=1))), await office.passkey()
        voter = await office.touch(key, row)
        office.clock.advance(61)
        await refused("expired", office.settle(row, voter))


# --- who -------------------------------------------------------------------------------------------------------------


async def test_an_approver_answers_only_as_the_configuration_says(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL))
        await refused("proof-not-listed", office.settle(row, office.proofs.voter("os:bob"), Chosen(Choice.ONCE)))
        after = await office.settle(row, await office.touch(await office.passkey("bob"), row))
        assert after.decided_by == "bob"


async def test_an_unattended_key_of_who_may_only_sign_approves_nothing(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL))
        bare = await in_thread(SshKey.make, tmp_path / "bare")
        await office.proofs.enrol_ssh("bob", bare.line, str(bare.file), "", "os:bob")
        await refused("proof-not-listed", office.settle(row, await office.sign(bare, row)))


async def test_whoever_may_approve_may_deny_however_known(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        after = await office.settle(row, office.proofs.voter("os:bob"), Chosen(Choice.DENY))
        assert after.state is ApprovalState.DENIED


async def test_the_roles_are_those_of_the_key_and_not_of_who_brings_it(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.SIGNED, by=frozenset({"role:mail-admin"})))
        await refused("not-permitted", office.settle(row, await office.sign(await office.security_key("bob"), row)))
        after = await office.settle(row, await office.sign(await office.security_key("ada"), row))
        assert after.state is ApprovalState.APPROVED


async def test_two_signatures_are_of_two_people_and_neither_of_who_asked(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.SIGNED, approvers=2))
        mine = await office.touch(await office.passkey("alice"), row)
        await refused("requester", office.settle(row, mine))  # `os:alice` asked
        ada = await office.passkey("ada")
        assert (await office.settle(row, await office.touch(ada, row))).state is ApprovalState.WAITING
        await refused("already-voted", office.settle(row, await office.touch(ada, row)))
        after = await office.settle(row, await office.touch(await office.passkey("bob"), row))
        assert (after.state, after.decided_by) == (ApprovalState.APPROVED, "ada, bob")


async def test_of_two_approvers_the_weaker_proof_counts(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL, approvers=2))
        await office.settle(row, await office.touch(await office.passkey("ada"), row))
        after = await office.settle(row, office.proofs.voter("os:eve"), Chosen(Choice.ONCE))
        assert (after.state, after.proof) == (ApprovalState.APPROVED, Proof.LOCAL)


# --- what an approval is good for -------------------------------------------------------------------------------------


async def test_an_approval_that_two_clients_use_at_the_same_moment_runs_one_call(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL))
        await office.settle(row, office.proofs.voter("os:ada"), Chosen(Choice.ONCE))
        records, heard = Records(office.store, office.clock), []

        async def use(number: int) -> None:
            heard.append(await records.append(a_record(number, approval=row.id), (row.id,)))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(use, number)
        assert sorted(heard) == [False] * 7 + [True]
        assert await state_of(office, row) is ApprovalState.USED
        assert len(office.records(Kind.INTENT)) == 1


async def test_an_expired_approval_runs_nothing(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL, timeout=timedelta(minutes=1)))
        await office.settle(row, office.proofs.voter("os:ada"), Chosen(Choice.ONCE))
        office.clock.advance(61)
        assert not await Records(office.store, office.clock).append(a_record(approval=row.id), (row.id,))


@pytest.mark.parametrize(
    ("call", "tool"),
    [
        (a_call(2, path="b.txt"), a_tool()),
        (a_call(2), replace(a_tool(), digest="another")),
        (a_call(2, session="s2"), a_tool()),
    ],
    ids=["arguments", "definition", "session"],
)
async def test_an_approval_after_a_change_is_of_another_row(call: Any, tool: Tool, tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks(an_ask(Proof.LOCAL))
        await office.settle(row, office.proofs.voter("os:ada"), Chosen(Choice.ONCE))
        assert (await office.asks(an_ask(Proof.LOCAL), call, tool)).id != row.id
        assert await state_of(office, row) is ApprovalState.APPROVED  # it waits for its own call


async def test_a_decision_after_the_client_left_serves_the_same_call_once(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row = await office.asks()
        await office.settle(row, await office.touch(await office.passkey(), row))
        again = await office.obtain()
        assert isinstance(again, Approval)
        assert (again.id, again.state) == (row.id, ApprovalState.APPROVED)
        assert await Records(office.store, office.clock).append(a_record(approval=row.id), (row.id,))
        assert (await office.asks()).id != row.id


async def test_what_waits_is_signed_after_a_restart_by_a_key_of_before(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        row, key = await office.asks(), await office.security_key()
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(tmp_path / "state", AT_ONCE) as store:
            approvals = Approvals(store, clock, KEY)
            await approvals.recover()
            after = Office(store, clock, approvals, Proofs(store, clock, KEY, APPROVERS), tmp_path / "state")
            found = await approvals.show(row.id)
            assert (found.state, found.told) == (ApprovalState.WAITING, True)
            await after.settle(found, await after.sign(key, found))
            assert not [record for record in on_disk(after.state) if record.kind is Kind.INTENT]  # nobody came for it
            again = await after.obtain()
            assert isinstance(again, Approval)
            assert again.id == row.id
    await whole(tmp_path / "state")
