"""Every choice of a card at the desk, on a real store: where it is offered, what it writes in one transaction, and what
an answer leads to for the calls that wait.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.approvals.standing import MOST_ALIKE
from gateway.core.approval import Ballot, Chosen, Terms, Voter
from gateway.core.decide import decide
from gateway.core.grants import MOST_USES, USUAL, USUAL_USES, give, offered, pins
from gateway.core.model import (
    AGAIN,
    Approval,
    ApprovalState,
    Call,
    Choice,
    Decision,
    Effect,
    Facts,
    Held,
    Kind,
    Labels,
    Proof,
    Reason,
    Record,
    Shown,
    SinkKind,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.policy import Policy, parse
from gateway.errors import ApprovalError, RecordError
from gateway.records import Records
from gateway.rounds import MARK
from gateway.store import SqliteStore, open_store, rows
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, a_waiting_row, an_ask
from tests.store.keep import AT_ONCE, on_disk, whole

BOB, EVE = Voter("os:bob", Proof.LOCAL), Voter("os:eve", Proof.LOCAL)
CLIENT = Voter("client:claude-code", Proof.CLIENT)
TOOL = replace(a_tool(), labels=Labels(Effect.WRITE, {"path": SinkKind.PATH}, payload=("text",)))
SEND = replace(
    a_tool("send", Tier.HIGH, Effect.EGRESS), labels=Labels(Effect.EGRESS, {"to": SinkKind.EMAIL}, payload=("text",))
)
MAIL = {"to": "ada@example.com", "text": "hello"}
ONE = {"path": "a.txt", "text": "one"}
UNPROVEN = replace(an_ask(Proof.LOCAL), reason=Reason.UNPROVEN)
PROVE: Policy = parse(
    {
        "files.toml": 'upstream = "files"\nowner = "o@example.com"\n[[rule]]\nid = "files.writes"\ntools = "*"\n'
        'decide = "ask-unless-proven"\n'
    }
)[0]


@dataclass
class Room:
    """A desk and the records of one store."""

    store: SqliteStore
    clock: FakeClock
    desk: Approvals
    records: Records
    state: Path

    async def waits(
        self,
        call: Call | None = None,
        tool: Tool = TOOL,
        decision: Decision | None = None,
        shown: Shown | None = None,
    ) -> Approval:
        """A row that waits; its caller was told so."""
        given, asked = call or a_call(1, **ONE), decision or an_ask(Proof.LOCAL)
        return await a_waiting_row(self.desk, given, tool, asked, shown, self.clock.now())

    async def vouches(self, *values: str, session: str = "s1") -> Approval:
        """A row on whose card bob vouches for values."""
        row = await self.waits(
            a_call(1, **MAIL, session=session), SEND, UNPROVEN, Shown(vouchable=("ada@example.com", "bob@example.com"))
        )
        return await self.desk.settle(row.id, Chosen(Choice.VOUCH, values=values), BOB)

    def decides(self, call: Call, tool: Tool = TOOL, policy: Policy = PROVE) -> Decision:
        """What is decided of a call now."""
        facts = Facts(
            now=self.clock.now(),
            tool=tool,
            standing=self.desk.standing(call, tool),
            pins=pins(tool, call.arguments, KEY),
        )
        return decide(call, facts, policy)

    def kinds(self) -> list[tuple[Kind, str]]:
        """What stands on the record, in order: kind and state."""
        return [(row.kind, str(row.extra.get("state", ""))) for row in on_disk(self.state)]

    async def refused(self, row: Approval, chosen: Chosen, voter: Voter = BOB) -> str:
        """Why an answer doesn't count; the row waits on, and nothing is written."""
        before = self.kinds()
        with pytest.raises(ApprovalError) as problem:
            await self.desk.settle(row.id, chosen, voter)
        assert (await self.desk.show(row.id)).state is ApprovalState.WAITING
        assert self.kinds() == before
        return problem.value.objection


@asynccontextmanager
async def a_room(tmp_path: Path, clock: FakeClock | None = None, *, proven: bool = True) -> AsyncIterator[Room]:
    """A room whose record is whole in the end; not `proven`: it holds signatures that nobody made."""
    hands, state = clock or FakeClock(), tmp_path / "state"
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            desk = Approvals(store, hands, KEY)
            await desk.recover()
            yield Room(store, hands, desk, Records(store, hands), state)
    if proven:
        await whole(state)


# --- what is offered ------------------------------------------------------------------------------------------------

PLAIN = {Choice.ONCE, Choice.DENY, Choice.BAR, Choice.EDIT}
KEPT = {Choice.ARGUMENTS, Choice.PATTERN}
VOUCHABLE = Shown(vouchable=("ada@example.com",))


@pytest.mark.parametrize(
    ("tool", "decision", "shown", "expected"),
    [
        (TOOL, an_ask(Proof.LOCAL), Shown(), {*PLAIN, *KEPT, Choice.SESSION}),
        (SEND, an_ask(Proof.LOCAL), Shown(), {*PLAIN, *KEPT}),
        (SEND, UNPROVEN, VOUCHABLE, {*PLAIN, *KEPT, Choice.VOUCH}),
        (replace(SEND, effect=Effect.MONEY), UNPROVEN, VOUCHABLE, {*PLAIN, *KEPT}),
        (replace(SEND, effect=Effect.PRIVILEGE), UNPROVEN, VOUCHABLE, {*PLAIN, *KEPT}),
        (replace(SEND, effect=Effect.CREDENTIAL), UNPROVEN, VOUCHABLE, {*PLAIN, *KEPT}),
        (replace(SEND, effect=Effect.DESTRUCTIVE), UNPROVEN, VOUCHABLE, {*PLAIN, *KEPT}),
        (replace(TOOL, labels=Labels(Effect.WRITE)), an_ask(), Shown(), {*PLAIN, Choice.ARGUMENTS, Choice.SESSION}),
        (TOOL, an_ask(), Shown(named=False), {Choice.ONCE, Choice.DENY, Choice.EDIT, *KEPT}),
        (SEND, UNPROVEN, replace(VOUCHABLE, named=False), {Choice.ONCE, Choice.DENY, Choice.EDIT, *KEPT}),
        (TOOL, an_ask(), Shown(redacted=True), {*PLAIN, *KEPT, Choice.SESSION} - {Choice.EDIT}),
        (SEND, UNPROVEN, replace(VOUCHABLE, redacted=True), {*PLAIN, *KEPT} - {Choice.EDIT}),
        (TOOL, an_ask(), Shown(labelled=False), PLAIN),
        (TOOL, an_ask(Proof.LOCAL, approvers=2), Shown(), PLAIN),
    ],
    ids=[
        *("write", "egress", "unproven", "money", "privilege", "credential", "destructive", "nothing-free"),
        *("no-session", "no-session-to-vouch-in", "redacted", "redacted-unproven", "unlabelled", "two-approvers"),
    ],
)
async def test_a_choice_counts_exactly_where_the_card_offers_it(
    tmp_path: Path, tool: Tool, decision: Decision, shown: Shown, expected: set[Choice]
) -> None:
    async with a_room(tmp_path) as room:
        call = a_call(1, **(MAIL if tool.ref.name == "send" else ONE))
        row = await room.waits(call, tool, decision, shown)
        assert set(offered(row)) == expected
        for choice in set(Choice) - expected:
            values = shown.vouchable if choice is Choice.VOUCH else ()
            assert await room.refused(row, Chosen(choice, values=values, arguments=ONE)) == "not-offered"


async def test_nothing_but_a_plain_answer_comes_from_the_agents_own_client(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(decision=replace(an_ask(Proof.CLIENT), reason=Reason.UNPROVEN), shown=VOUCHABLE)
        for choice in set(Choice) - {Choice.ONCE, Choice.DENY}:
            chosen = Chosen(choice, values=VOUCHABLE.vouchable, arguments=ONE)
            assert await room.refused(row, chosen, CLIENT) == "not-offered"
        settled = await room.desk.settle(row.id, Chosen(Choice.ONCE), CLIENT)
        assert (settled.state, settled.proof) == (ApprovalState.APPROVED, Proof.CLIENT)
        assert await room.desk.standings.grants() == []


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION], ids=lambda choice: choice.value)
@pytest.mark.parametrize(
    ("seconds", "uses", "allowed"),
    [
        (8 * 3600, MOST_USES, True),
        (8 * 3600 + 1, 1, False),
        (0, 1, False),
        (-1, 1, False),
        (60, MOST_USES + 1, False),
        (60, -1, False),
        (None, None, True),
    ],
)
async def test_a_grant_stands_within_its_longest_time_and_most_uses(
    tmp_path: Path, choice: Choice, seconds: int | None, uses: int | None, allowed: bool
) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        until = None if seconds is None else room.clock.now() + timedelta(seconds=seconds)
        if not allowed:
            assert await room.refused(row, Chosen(choice, until=until, uses=uses)) == "too-long"
            return
        await room.desk.settle(row.id, Chosen(choice, until=until, uses=uses), BOB)
        (grant,) = await room.desk.standings.grants()
        assert grant.expires_at == (until or room.clock.now() + USUAL)
        assert grant.uses == (uses or USUAL_USES)


# --- once -----------------------------------------------------------------------------------------------------------


async def test_a_grant_stands_no_longer_than_it_may_where_nobody_says_how_long(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        desk = Approvals(room.store, room.clock, KEY, longest=timedelta(minutes=10))
        row = await room.waits()
        await desk.settle(row.id, Chosen(Choice.ARGUMENTS), BOB)
        (grant,) = await desk.standings.grants()
        assert grant.expires_at == room.clock.now() + timedelta(minutes=10)


async def test_so_many_grants_of_one_tool_stand_and_no_more(tmp_path: Path) -> None:
    """Each is compared with every call of the tool."""
    async with a_room(tmp_path) as room:
        row, soon = await room.waits(), room.clock.now() + timedelta(seconds=60)
        for number in range(MOST_ALIKE):
            filling = give(row, Chosen(Choice.PATTERN, until=soon), BOB, f"g_{number:010d}", room.clock.now())
            room.desk.standings.add(filling)
        assert await room.refused(row, Chosen(Choice.PATTERN)) == "too-many"
        room.clock.advance(60)  # they stand no more
        assert (await room.desk.settle(row.id, Chosen(Choice.PATTERN), BOB)).state is ApprovalState.APPROVED


async def test_once_gives_no_grant(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        settled = await room.desk.settle(row.id, Chosen(Choice.ONCE, "fine"), BOB)
        assert (settled.state, settled.decided_by, settled.note) == (ApprovalState.APPROVED, "os:bob", "fine")
        assert await room.desk.standings.grants() == []
        assert room.kinds() == [(Kind.APPROVAL, "waiting"), (Kind.APPROVAL, "approved")]


async def test_the_first_of_two_approvers_settles_nothing_and_gives_nothing(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(decision=an_ask(Proof.LOCAL, approvers=2))
        assert (await room.desk.settle(row.id, Chosen(Choice.ONCE), BOB)).state is ApprovalState.WAITING
        assert await room.refused(row, Chosen(Choice.ONCE), BOB) == "already-voted"
        assert await room.refused(row, Chosen(Choice.ONCE), Voter("os:alice", Proof.LOCAL)) == "requester"
        settled = await room.desk.settle(row.id, Chosen(Choice.ONCE), EVE)
        assert (settled.state, settled.decided_by) == (ApprovalState.APPROVED, "os:bob, os:eve")


# --- grants ---------------------------------------------------------------------------------------------------------


async def test_a_grant_and_the_vote_that_gave_it_are_one_transaction(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        await room.store._writer.run(lambda db: db.execute("ALTER TABLE granted RENAME TO away"))
        with pytest.raises(RecordError):
            await room.desk.settle(row.id, Chosen(Choice.PATTERN), BOB)
        await room.store._writer.run(lambda db: db.execute("ALTER TABLE away RENAME TO granted"))
        assert (await room.desk.show(row.id)).state is ApprovalState.WAITING
        assert room.kinds() == [(Kind.APPROVAL, "waiting")]
        assert room.desk.standing(a_call(2, **ONE), TOOL).grants == ()


async def test_a_grant_stands_on_the_record_right_behind_its_approval(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        await room.desk.settle(row.id, Chosen(Choice.ARGUMENTS, "for today", uses=3), BOB)
        *_, approved, given = on_disk(room.state)
        assert (approved.kind, approved.extra["state"]) == (Kind.APPROVAL, "approved")
        assert (given.kind, given.extra["state"], given.extra["scope"]) == (Kind.GRANT, "given", "arguments")
        assert (given.extra["from"], given.extra["owner"], given.extra["proof"]) == (row.id, "os:bob", "local")
        assert (given.extra["uses"], given.detail, given.arguments_digest) == (3, "for today", row.arguments_digest)


async def test_of_the_calls_on_the_card_those_that_the_grant_covers_are_settled_by_the_same_person(
    tmp_path: Path,
) -> None:
    async with a_room(tmp_path) as room:
        first = await room.waits(a_call(1, **ONE))
        same = await room.waits(a_call(2, path="a.txt", text="two"))
        elsewhere = await room.waits(a_call(3, path="b.txt", text="one"))
        stricter = await room.waits(a_call(4, path="a.txt", text="four"), decision=an_ask(Proof.SIGNED))
        done = await room.waits(a_call(5, path="a.txt", text="five"))
        await room.desk.settle(done.id, Chosen(Choice.DENY), EVE)
        also = tuple(row.id for row in (same, elsewhere, stricter, done))
        await room.desk.settle(first.id, Chosen(Choice.PATTERN, also=also), BOB)
        told = [await room.desk.show(row.id) for row in (same, elsewhere, stricter, done)]
        assert [row.state.value for row in told] == ["approved", "waiting", "waiting", "denied"]
        assert told[0].decided_by == "os:bob"


async def test_a_call_of_another_session_stands_on_no_card_and_is_settled_by_none(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        first, other = await room.waits(), await room.waits(a_call(2, **ONE, session="s2"))
        await room.desk.settle(first.id, Chosen(Choice.ARGUMENTS, also=(other.id,)), BOB)
        assert (await room.desk.show(other.id)).state is ApprovalState.WAITING


async def test_a_call_of_another_request_is_settled_by_no_grant(tmp_path: Path) -> None:
    """Whoever lets a resource be read has not let its changes be told."""
    async with a_room(tmp_path) as room:
        read = await room.waits(replace(a_call(1, **ONE), method="resources/read"))
        told = await room.waits(replace(a_call(2, **ONE), method="resources/subscribe"))
        assert await room.refused(read, Chosen(Choice.ARGUMENTS, also=(told.id,))) == "not-offered"
        assert await room.desk.standings.grants() == []


async def test_once_settles_no_other_call_that_was_listed(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        first, same = await room.waits(a_call(1, **ONE)), await room.waits(a_call(2, path="a.txt", text="two"))
        await room.desk.settle(first.id, Chosen(Choice.ONCE, also=(same.id,)), BOB)
        assert (await room.desk.show(same.id)).state is ApprovalState.WAITING


async def test_a_signature_gives_the_grant_that_was_signed_and_settles_only_rows_that_were(tmp_path: Path) -> None:
    async with a_room(tmp_path, proven=False) as room:
        first, same = await room.waits(a_call(1, **ONE)), await room.waits(a_call(2, path="a.txt", text="two"))
        signed = Voter(
            "ada",
            Proof.SIGNED,
            signed_for=frozenset({first.id}),
            terms=Terms(Choice.PATTERN, uses=2),
            evidence={"k": 1},
        )
        for other in (Chosen(Choice.PATTERN, uses=3), Chosen(Choice.ARGUMENTS, uses=2)):
            assert await room.refused(first, other, signed) == "unsigned"
        assert await room.refused(same, Chosen(Choice.PATTERN, uses=2), signed) == "unsigned"
        await room.desk.settle(first.id, Chosen(Choice.PATTERN, uses=2, also=(same.id,)), signed)
        (grant,) = await room.desk.standings.grants()
        assert (grant.owner, grant.proof, grant.uses) == ("ada", Proof.SIGNED, 2)
        assert (await room.desk.show(same.id)).state is ApprovalState.WAITING


# --- vouching -------------------------------------------------------------------------------------------------------


async def test_a_vouch_is_a_grant_for_each_value_that_stood_on_the_card(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.vouches("bob@example.com", "ada@example.com", "eve@example.com")
        assert row.state is ApprovalState.APPROVED
        given = [row.extra["value"] for row in on_disk(room.state) if row.kind is Kind.GRANT]
        assert given == ["ada@example.com", "bob@example.com"]


async def test_a_vouch_for_nothing_on_the_card_counts_for_nothing(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(a_call(1, **MAIL), SEND, UNPROVEN, VOUCHABLE)
        for values in ((), ("eve@example.com",)):
            assert await room.refused(row, Chosen(Choice.VOUCH, values=values)) == "not-offered"


async def test_who_is_vouched_for_may_be_sent_anything_in_this_session_by_any_tool_of_that_effect(
    tmp_path: Path,
) -> None:
    async with a_room(tmp_path) as room:
        await room.vouches("ada@example.com")
        forward = replace(SEND, ref=replace(SEND.ref, name="forward"), exposed_as="files__forward", digest="11" * 32)
        for tool in (SEND, forward):
            proven = room.decides(a_call(2, to="Ada@EXAMPLE.com", text="more"), tool)
            assert (proven.verdict, proven.reason) == (Verdict.ALLOW, Reason.VOUCHED)
        for call in (
            a_call(3, to="eve@example.com", text="more"),
            a_call(4, to=["ada@example.com", "eve@example.com"], text="more"),
            a_call(5, **MAIL, session="s2"),
        ):
            asked = room.decides(call, SEND)
            assert (asked.verdict, asked.reason) == (Verdict.ASK, Reason.UNPROVEN)
        pays = replace(SEND, effect=Effect.MONEY)
        assert room.decides(a_call(6, **MAIL), pays).verdict is Verdict.ASK


async def test_a_vouch_is_used_up_like_any_grant(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(a_call(1, **MAIL), SEND, UNPROVEN, VOUCHABLE)
        await room.desk.settle(row.id, Chosen(Choice.VOUCH, values=VOUCHABLE.vouchable, uses=1), BOB)
        proven = room.decides(a_call(2, **MAIL), SEND)
        assert await room.records.append(a_record(2), proven.uses)
        await room.desk.spent(proven.uses)
        assert room.decides(a_call(3, **MAIL), SEND).verdict is Verdict.ASK
        assert not await room.records.append(a_record(3), proven.uses)


# --- a grant's use --------------------------------------------------------------------------------------------------


async def used(tmp_path: Path, room: Room) -> tuple[str, int]:
    """A grant that may be used twice, by its id, and how often it was by now."""
    row = await room.waits()
    await room.desk.settle(row.id, Chosen(Choice.PATTERN, uses=2), BOB)
    (grant,) = await room.desk.standings.grants()
    return grant.id, grant.used


async def test_an_intent_uses_up_a_grant_in_its_own_transaction(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        grant, before = await used(tmp_path, room)
        assert before == 0
        assert await room.records.append(a_record(2), (grant,))
        assert await room.records.append(a_record(3), (grant,))
        assert not await room.records.append(a_record(4), (grant,))
        assert [row.id for row in on_disk(room.state) if row.kind is Kind.INTENT] == ["d_0000000002", "d_0000000003"]
        assert [one.used for one in await room.desk.standings.grants()] == [2]


async def test_what_is_used_up_together_is_used_up_together_or_not_at_all(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        grant, _ = await used(tmp_path, room)
        assert not await room.records.append(a_record(2), (grant, "g_0000000000"))
        assert [one.used for one in await room.desk.standings.grants()] == [0]


async def test_neither_an_expired_nor_a_revoked_grant_serves_an_intent(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        grant, _ = await used(tmp_path, room)
        room.clock.advance(USUAL.total_seconds())
        assert not await room.records.append(a_record(2), (grant,))
        other = await room.waits(a_call(2, **ONE))
        await room.desk.settle(other.id, Chosen(Choice.PATTERN), BOB)
        revoked = next(one for one in await room.desk.standings.grants() if one.approval == other.id)
        await room.desk.standings.revoke(revoked.id, "os:ada")
        assert not await room.records.append(a_record(3), (revoked.id,))
        assert not [row for row in on_disk(room.state) if row.kind is Kind.INTENT]


async def test_how_often_a_grant_was_used_outlives_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    async with a_room(tmp_path, clock) as room:
        grant, _ = await used(tmp_path, room)
        assert await room.records.append(a_record(2), (grant,))
    async with a_room(tmp_path, clock) as room:
        (standing,) = room.desk.standing(a_call(3, **ONE), TOOL).grants
        assert (standing.id, standing.used, standing.pins) == (grant, 1, pins(TOOL, ONE, KEY))
        assert await room.records.append(a_record(3), (grant,))
        assert not await room.records.append(a_record(4), (grant,))
    async with a_room(tmp_path, clock) as room:
        assert room.decides(a_call(5, **ONE)).verdict is Verdict.ASK


@pytest.mark.parametrize(
    ("upstream", "session", "tool", "held"),
    [
        ("", "", "", True),
        ("files", "", "", True),
        ("", "s1", "", True),
        ("files", "s1", "write_file", True),
        ("mail", "", "", False),
        ("", "s2", "", False),
        ("files", "s1", "read_file", False),
    ],
    ids=["all", "upstream", "session", "tool", "another-upstream", "another-session", "another-tool"],
)
async def test_an_intent_asks_at_the_disk_that_nobody_holds_such_calls(
    tmp_path: Path, upstream: str, session: str, tool: str, held: bool
) -> None:
    async with a_room(tmp_path) as room:
        await room.desk.standings.freeze(upstream, session, tool, "os:ada", "")
        assert await room.records.append(a_record(2)) is not held
        assert await room.records.append(a_record(2, Kind.OUTCOME, outcome="unknown"))  # what runs ends all the same


# --- denying --------------------------------------------------------------------------------------------------------


async def test_a_denial_with_a_bar_holds_that_tool_in_that_session_and_is_one_transaction(tmp_path: Path) -> None:
    clock = FakeClock()
    async with a_room(tmp_path, clock) as room:
        row = await room.waits()
        denied = await room.desk.settle(row.id, Chosen(Choice.BAR, "stop that"), BOB)
        assert (denied.state, denied.note) == (ApprovalState.DENIED, "stop that")
        *_, told, held = on_disk(room.state)
        assert (told.kind, told.extra["state"]) == (Kind.APPROVAL, "denied")
        assert (held.kind, held.extra["state"], held.tool, held.session) == (Kind.FREEZE, "freeze", "write_file", "s1")
        barred = room.decides(a_call(2, path="c.txt", text="x"))
        assert (barred.verdict, barred.reason) == (Verdict.BLOCK, Reason.TOOL_BARRED)
        assert room.decides(a_call(3, **ONE, session="s2")).verdict is Verdict.ASK
        assert not await room.records.append(a_record(2))
    async with a_room(tmp_path, clock) as room:
        assert room.decides(a_call(4, **ONE)).reason is Reason.TOOL_BARRED


async def test_a_bar_that_can_not_be_written_leaves_the_row_open(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        await room.store._writer.run(lambda db: db.execute("ALTER TABLE frozen RENAME TO gone"))
        with pytest.raises(RecordError):
            await room.desk.settle(row.id, Chosen(Choice.BAR), BOB)
        assert (await room.desk.show(row.id)).state is ApprovalState.WAITING
        assert room.desk.standings.freezes() == []
        await room.store._writer.run(lambda db: db.execute("ALTER TABLE gone RENAME TO frozen"))


# --- editing --------------------------------------------------------------------------------------------------------

EDITED = {"path": "safe.txt", "text": "one"}


def reconsidering(room: Room, decision: Decision | None = None) -> list[Mapping[str, Any]]:
    """Have the desk take every edit; returns what it was asked about."""
    asked: list[Mapping[str, Any]] = []

    async def reconsider(row: Approval, arguments: Mapping[str, Any]) -> Approval:
        asked.append(arguments)
        call = a_call(int(row.call[2:]), **arguments)
        return a_wait(call, TOOL, decision or an_ask(Proof.LOCAL), arguments, room.clock.now())[1]

    room.desk.reconsider = reconsider
    return asked


async def test_an_edit_makes_a_new_row_for_the_same_call_that_holds_both_digests(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        asked = reconsidering(room)
        new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
        assert asked == [EDITED]
        assert (new.state, new.call, new.follows) == (ApprovalState.WAITING, row.call, row.id)
        assert (new.arguments, new.asked_digest) == (EDITED, row.arguments_digest)
        assert new.arguments_digest != row.arguments_digest
        before = await room.desk.show(row.id)
        assert (before.state, before.followed_by) == (ApprovalState.WITHDRAWN, new.id)
        _, gone, opened = on_disk(room.state)
        assert (gone.extra["state"], gone.extra["followed_by"]) == ("withdrawn", new.id)
        assert (opened.extra["state"], opened.extra["follows"]) == ("waiting", row.id)
        assert (opened.arguments_digest, opened.extra["asked_digest"]) == (new.arguments_digest, row.arguments_digest)
        assert opened.extra["statement"]["asked_digest"] == gone.extra["statement"]["arguments_digest"]
        assert opened.extra["statement"]["arguments_digest"] == new.arguments_digest
        assert (opened.extra["edited_by"], "edited_by" in gone.extra) == ("os:bob", False)
        assert opened.arguments == EDITED


async def test_votes_that_were_given_before_an_edit_are_void(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        two = an_ask(Proof.LOCAL, approvers=2)
        row = await room.waits(decision=two)
        await room.desk.settle(row.id, Chosen(Choice.ONCE), EVE)
        reconsidering(room, two)
        new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
        assert await rows.find_ballots(room.store, new.id) == ()
        assert (await room.desk.settle(new.id, Chosen(Choice.ONCE), EVE)).state is ApprovalState.WAITING
        assert (await room.desk.settle(new.id, Chosen(Choice.ONCE), BOB)).state is ApprovalState.APPROVED


async def test_who_edits_has_said_nothing_yet(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(decision=an_ask(Proof.SIGNED))
        reconsidering(room, an_ask(Proof.SIGNED))
        new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
        assert await room.refused(new, Chosen(Choice.ONCE), BOB) == "proof-too-weak"


async def test_who_may_not_answer_may_not_edit(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits(decision=an_ask(Proof.LOCAL, by=frozenset({"ada"})))
        asked = reconsidering(room)
        assert await room.refused(row, Chosen(Choice.EDIT, arguments=EDITED), EVE) == "not-permitted"
        assert asked == []


async def test_an_edit_without_arguments_or_where_nothing_can_check_it_is_refused(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        assert await room.refused(row, Chosen(Choice.EDIT, arguments=EDITED)) == "not-offered"
        reconsidering(room)
        assert await room.refused(row, Chosen(Choice.EDIT)) == "not-offered"


async def test_an_edit_that_another_answer_outran_changes_nothing(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()

        async def slow(asked: Approval, arguments: Mapping[str, Any]) -> Approval:
            await room.desk.settle(row.id, Chosen(Choice.DENY), EVE)
            return a_wait(a_call(1, **arguments), TOOL, an_ask(Proof.LOCAL), arguments)[1]

        room.desk.reconsider = slow
        with pytest.raises(ApprovalError) as problem:
            await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
        assert problem.value.objection == "settled"
        assert [each.state for each in await room.desk.list()] == [ApprovalState.DENIED]


async def test_the_call_that_waits_goes_on_at_the_edited_row(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        reconsidering(room)
        found: list[Approval | Held] = []
        caller = FakeCaller(budget=1000)

        async def waits() -> None:
            found.append(await room.desk.obtain(*a_wait(a_call(1, **ONE), TOOL, an_ask(Proof.LOCAL), ONE), caller))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits)
            await caller.noticed.wait()
            (row,) = await room.desk.list()
            new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
            await room.desk.settle(new.id, Chosen(Choice.ONCE), BOB)
        (settled,) = found
        assert isinstance(settled, Approval)
        assert (settled.id, settled.state, settled.arguments) == (new.id, ApprovalState.APPROVED, EDITED)


async def test_the_same_call_again_finds_the_row_that_a_person_edited(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        reconsidering(room)
        new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
        await room.desk.settle(new.id, Chosen(Choice.ONCE), BOB)
        again = await room.desk.obtain(*a_wait(a_call(2, **ONE), TOOL, an_ask(Proof.LOCAL), ONE), FakeCaller(budget=0))
        assert isinstance(again, Approval)
        assert (again.id, again.state) == (new.id, ApprovalState.APPROVED)
        edited = await room.desk.obtain(
            *a_wait(a_call(3, **EDITED), TOOL, an_ask(Proof.LOCAL), EDITED), FakeCaller(budget=0)
        )
        assert isinstance(edited, Held)  # the agent never asked for that one


async def test_a_call_whose_client_left_while_a_person_edited_it_comes_back_to_the_edited_row(tmp_path: Path) -> None:
    caller = FakeCaller()
    async with a_room(tmp_path) as room:
        reconsidering(room)

        async def waits() -> None:
            await room.desk.obtain(*a_wait(a_call(1, **ONE), TOOL, an_ask(Proof.LOCAL), ONE), caller)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits)
            await caller.noticed.wait()
            (row,) = await room.desk.list()
            new = await room.desk.settle(row.id, Chosen(Choice.EDIT, arguments=EDITED), BOB)
            tasks.cancel_scope.cancel()  # before it has heard of that
        await room.desk.settle(new.id, Chosen(Choice.ONCE), BOB)
        again = await room.desk.obtain(*a_wait(a_call(2, **ONE), TOOL, an_ask(Proof.LOCAL), ONE), FakeCaller(budget=0))
        assert isinstance(again, Approval)
        assert again.id == new.id


# --- labels ---------------------------------------------------------------------------------------------------------


async def test_a_label_has_everything_that_waits_for_its_tool_decided_anew(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        mine = [await room.waits(a_call(number, path=str(number))) for number in (1, 2)]
        other = await room.waits(a_call(3, **MAIL), SEND)
        assert await room.desk.again("files", "write_file") == 2
        for row in mine:
            now = await room.desk.show(row.id)
            assert (now.state, now.followed_by) == (ApprovalState.WITHDRAWN, AGAIN)
        assert (await room.desk.show(other.id)).state is ApprovalState.WAITING
        assert await room.desk.again("files", "write_file") == 0


async def test_a_call_that_waits_hears_that_it_is_to_be_decided_anew(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        found: list[Approval | Held] = []
        caller = FakeCaller(budget=1000)

        async def waits() -> None:
            found.append(await room.desk.obtain(*a_wait(a_call(1, **ONE), TOOL, an_ask(Proof.LOCAL), ONE), caller))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits)
            await caller.noticed.wait()
            await room.desk.again("files", "write_file")
        assert [getattr(each, "followed_by", "") for each in found] == [AGAIN]


async def test_a_handle_of_a_row_never_looks_like_that_of_an_upstreams_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_room(tmp_path) as room:
        monkeypatch.setattr("secrets.token_urlsafe", lambda length: MARK + "A" * length)
        made = a_wait(a_call(1, **ONE), TOOL, an_ask(Proof.LOCAL), ONE)
        held = await room.desk.obtain(*made, FakeCaller("input-silent", budget=0))
        assert isinstance(held, Held)
        assert held.handle is not None
        assert not held.handle.startswith(MARK)


async def test_what_proves_a_vote_stands_on_the_record_with_it(tmp_path: Path) -> None:
    async with a_room(tmp_path) as room:
        row = await room.waits()
        proven = replace(BOB, evidence={"kind": "ssh", "attended": False})
        await room.desk.settle(row.id, Chosen(Choice.ONCE), proven)
        told: Record = on_disk(room.state)[-1]
        (vote,) = told.extra["votes"]
        assert (vote["by"], vote["proof"], vote["evidence"]) == ("os:bob", "local", dict(proven.evidence))
        (ballot,) = await rows.find_ballots(room.store, row.id)
        assert ballot == Ballot("os:bob", Proof.LOCAL, True, room.clock.now(), "", proven.evidence)
