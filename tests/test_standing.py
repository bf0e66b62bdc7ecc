"""What people said for a while: grants and freezes that stand, lapse, are revoked, and outlive a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from gateway.approvals import Approvals
from gateway.core.approval import Chosen, Voter
from gateway.core.decide import decide
from gateway.core.grants import MOST_USES, USUAL, pins
from gateway.core.model import (
    Approval,
    ApprovalState,
    Call,
    Choice,
    Decision,
    Effect,
    Facts,
    Grant,
    Held,
    Kind,
    Labels,
    Proof,
    Reason,
    Record,
    SinkKind,
    Tier,
    Tool,
    Verdict,
)
from gateway.core.policy import Policy, parse
from gateway.errors import ApprovalError, RecordError
from gateway.records import Records
from gateway.store import SqliteStore, open_store, rows
from tests.fakes import DEADLINE, KEY, FakeCaller, FakeClock, a_call, a_record, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, on_disk, whole

BOB = Voter("os:bob", Proof.LOCAL)
TOOL = replace(a_tool(), labels=Labels(Effect.WRITE, {"path": SinkKind.PATH}, payload=("text",)))
POLICY: Policy = parse(
    {
        "files.toml": 'upstream = "files"\nowner = "o@example.com"\n[[rule]]\nid = "files.writes"\ntools = "*"\n'
        'decide = "ask"\n'
    }
)[0]


@dataclass
class Desk:
    """A gateway's approvals and records on a store of their own."""

    store: SqliteStore
    clock: FakeClock
    approvals: Approvals
    records: Records
    state: Path

    async def asks(self, call: Call, tool: Tool = TOOL) -> Approval:
        """A call that waits, with the decision that the policy really makes of it."""
        decision = replace(self.decides(call, tool), uses=())
        made = a_wait(call, tool, decision, call.arguments, self.clock.now())
        held = await self.approvals.obtain(*made, FakeCaller(budget=0))
        assert isinstance(held, Held)
        return held.approval

    async def grants(self, choice: Choice, call: Call | None = None, tool: Tool = TOOL, **more: Any) -> Grant:
        """A grant that bob gives on the card of a call."""
        row = await self.asks(call or a_call(1, path="a.txt", text="one"), tool)
        await self.approvals.settle(row.id, Chosen(choice, **more), BOB)
        return next(grant for grant in await self.approvals.standings.grants() if grant.approval == row.id)

    def decides(self, call: Call, tool: Tool = TOOL) -> Decision:
        """What is decided of a call now."""
        standing = self.approvals.standing(call, tool)
        pinned = pins(tool, call.arguments, KEY)
        return decide(call, Facts(now=self.clock.now(), tool=tool, standing=standing, pins=pinned), POLICY)

    async def runs(self, call: Call, tool: Tool = TOOL) -> bool:
        """Whether a call is allowed now, and its intent recorded with what it uses up."""
        decision = self.decides(call, tool)
        if decision.verdict is not Verdict.ALLOW:
            return False
        done = await self.records.append(self.intent(call), decision.uses)
        if done:
            await self.approvals.spent(decision.uses)
        return done

    def intent(self, call: Call) -> Record:
        return a_record(int(call.id[2:]), session=call.context.session)

    def told(self, kind: Kind) -> list[str]:
        """The states that the record tells of grants, or of freezes."""
        return [str(row.extra["state"]) for row in on_disk(self.state) if row.kind is kind]


@asynccontextmanager
async def a_desk(tmp_path: Path, clock: FakeClock | None = None) -> AsyncIterator[Desk]:
    hands = clock or FakeClock()
    state = tmp_path / "state"
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            approvals = Approvals(store, hands, KEY)
            await approvals.recover()
            yield Desk(store, hands, approvals, Records(store, hands), state)
    await whole(state)


OTHER = {"path": "b.txt", "text": "one"}


# --- grants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "call", "covered"),
    [
        (Choice.ARGUMENTS, a_call(2, path="a.txt", text="one"), True),
        (Choice.ARGUMENTS, a_call(2, path="a.txt", text="two"), False),
        (Choice.PATTERN, a_call(2, path="a.txt", text="two"), True),
        (Choice.PATTERN, a_call(2, path="a.txt", text="two", session="s2"), True),
        (Choice.PATTERN, a_call(2, **OTHER), False),
        (Choice.PATTERN, a_call(2, path="a.txt", text="two", mode="w"), False),
        (Choice.SESSION, a_call(2, **OTHER), True),
        (Choice.SESSION, a_call(2, path="a.txt", text="one", session="s2"), False),
    ],
)
async def test_a_grant_covers_what_was_chosen_and_no_more(
    tmp_path: Path, choice: Choice, call: Call, covered: bool
) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(choice)
        decision = desk.decides(call)
        assert (decision.verdict is Verdict.ALLOW) is covered
        if covered:
            assert (decision.reason, decision.uses) == (Reason.GRANTED, (grant.id,))


async def test_the_call_that_a_grant_came_from_does_not_run_once_more_on_its_own_approval(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(Choice.PATTERN)
        assert (await desk.approvals.show(grant.approval)).state is ApprovalState.APPROVED
        assert await desk.runs(a_call(2, path="a.txt", text="one"))
        assert (await desk.approvals.show(grant.approval)).state is ApprovalState.WITHDRAWN
        assert await desk.runs(a_call(3, path="a.txt", text="one"))
        assert (await desk.approvals.standings.grants())[0].used == 2


async def test_a_call_that_waits_on_its_approval_is_not_robbed_of_it_by_another_use_of_the_grant(
    tmp_path: Path,
) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.asks(a_call(1, path="a.txt", text="one"))
        await desk.store.append((), (rows.attach_approval(row.id),))  # the same call came back, and waits
        await desk.approvals.settle(row.id, Chosen(Choice.PATTERN), BOB)
        assert await desk.runs(a_call(2, path="a.txt", text="two"))
        assert (await desk.approvals.show(row.id)).state is ApprovalState.APPROVED


async def test_a_grant_stands_on_the_record_as_it_was_given_used_and_revoked(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(Choice.PATTERN, uses=2, note="for the tidy-up")
        assert grant.expires_at == desk.clock.now() + USUAL
        assert await desk.runs(a_call(2, path="a.txt", text="two"))
        await desk.approvals.standings.revoke(grant.id, "os:ada")
        assert not await desk.runs(a_call(3, path="a.txt", text="two"))
        assert desk.told(Kind.GRANT) == ["given", "revoked by os:ada"]
        given = next(row for row in on_disk(desk.state) if row.kind is Kind.GRANT)
        assert (given.extra["from"], given.extra["owner"], given.detail) == (
            grant.approval,
            "os:bob",
            "for the tidy-up",
        )
        (now,) = await desk.approvals.standings.grants()
        assert (now.used, now.ended) == (1, "revoked by os:ada")


async def test_a_grant_is_used_no_more_often_than_it_may_be(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.grants(Choice.PATTERN, uses=2)
        ran = [await desk.runs(a_call(number, path="a.txt", text=str(number))) for number in range(2, 5)]
        assert ran == [True, True, False]


async def test_two_calls_at_the_same_moment_share_the_last_use_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.grants(Choice.PATTERN, uses=1)
        calls = [a_call(number, path="a.txt", text=str(number)) for number in (2, 3)]
        decided = [desk.decides(call) for call in calls]
        assert all(each.verdict is Verdict.ALLOW for each in decided)
        ran: list[bool] = []

        async def go(call: Call, decision: Decision) -> None:
            ran.append(await desk.records.append(desk.intent(call), decision.uses))

        async with anyio.create_task_group() as tasks:
            for call, decision in zip(calls, decided, strict=True):
                tasks.start_soon(go, call, decision)
        assert sorted(ran) == [False, True]


async def test_a_grant_expires_by_itself_and_outlives_a_restart_until_then(tmp_path: Path) -> None:
    clock = FakeClock()
    call = a_call(2, path="a.txt", text="two")
    async with a_desk(tmp_path, clock) as desk:
        await desk.grants(Choice.PATTERN, until=clock.now() + timedelta(minutes=30), uses=3)
        assert await desk.runs(call)
    async with a_desk(tmp_path, clock) as desk:
        assert await desk.runs(a_call(3, path="a.txt", text="x"))
        clock.advance(1800)
        assert not await desk.runs(a_call(4, path="a.txt", text="x"))
    async with a_desk(tmp_path, clock) as desk:
        assert desk.approvals.standing(call, TOOL).grants == ()


async def test_a_grant_that_was_overtaken_at_the_disk_lets_nothing_through(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(Choice.PATTERN)
        call = a_call(2, path="a.txt", text="two")
        decision = desk.decides(call)
        await desk.approvals.standings.revoke(grant.id, "os:ada")
        assert not await desk.records.append(desk.intent(call), decision.uses)
        assert [row.kind for row in on_disk(desk.state)].count(Kind.INTENT) == 0


@pytest.mark.parametrize(
    "changed",
    [
        replace(TOOL, digest="00" * 32),
        replace(TOOL, labels=replace(TOOL.labels, payload=())),
        replace(TOOL, tier=Tier.HIGH, effect=Effect.DESTRUCTIVE),
    ],
    ids=["definition", "labels", "tier"],
)
async def test_a_grant_lapses_when_its_tool_is_not_as_it_was(tmp_path: Path, changed: Tool) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.grants(Choice.PATTERN)
        assert desk.decides(a_call(2, path="a.txt", text="two"), changed).verdict is Verdict.ASK


@pytest.mark.parametrize(
    "chosen",
    [
        Chosen(Choice.PATTERN, until=FakeClock().now() + timedelta(hours=8, seconds=1)),
        Chosen(Choice.PATTERN, until=FakeClock().now()),
        Chosen(Choice.PATTERN, uses=MOST_USES + 1),
    ],
    ids=["too-long", "over", "too-often"],
)
async def test_a_grant_beyond_its_limits_is_not_given(tmp_path: Path, chosen: Chosen) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.asks(a_call(1, path="a.txt", text="one"))
        with pytest.raises(ApprovalError):
            await desk.approvals.settle(row.id, chosen, BOB)
        assert (await desk.approvals.show(row.id)).state is ApprovalState.WAITING
        assert desk.told(Kind.GRANT) == []


async def test_a_grant_never_comes_from_the_agents_own_client(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        call = a_call(1, path="a.txt", text="one")
        made = a_wait(call, TOOL, an_ask(Proof.CLIENT), call.arguments)
        held = await desk.approvals.obtain(*made, FakeCaller(budget=0))
        assert isinstance(held, Held)
        for choice in (Choice.ARGUMENTS, Choice.PATTERN, Choice.SESSION, Choice.EDIT, Choice.BAR):
            with pytest.raises(ApprovalError):
                await desk.approvals.settle(held.approval.id, Chosen(choice), Voter("client:claude-code", Proof.CLIENT))
        assert await desk.approvals.standings.grants() == []


async def test_this_session_and_tool_is_not_offered_for_tier_high(tmp_path: Path) -> None:
    high = replace(TOOL, tier=Tier.HIGH, effect=Effect.EGRESS)
    async with a_desk(tmp_path) as desk:
        row = await desk.asks(a_call(1, path="a.txt", text="one"), high)
        with pytest.raises(ApprovalError):
            await desk.approvals.settle(row.id, Chosen(Choice.SESSION), BOB)
        grant = await desk.grants(Choice.PATTERN, a_call(2, path="a.txt", text="one"), high)
        assert grant.tier is Tier.HIGH


async def test_a_grant_settles_the_listed_calls_that_it_covers_and_no_other(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        calls = [a_call(number, path="a.txt", text=str(number)) for number in range(1, 4)]
        first, listed, unlisted = [await desk.asks(call) for call in calls]
        foreign = await desk.asks(a_call(4, **OTHER))
        chosen = Chosen(Choice.PATTERN, also=(listed.id, foreign.id, "a_0000000000"))
        await desk.approvals.settle(first.id, chosen, BOB)
        states = [(await desk.approvals.show(row.id)).state.value for row in (first, listed, unlisted, foreign)]
        assert states == ["approved", "approved", "waiting", "waiting"]


async def test_a_prefix_of_a_grant_must_be_the_only_one(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(Choice.PATTERN)
        for wrong in ("", "g_", "g_0", "g_ZZZZZZZZZZ"):
            with pytest.raises(ApprovalError):
                await desk.approvals.standings.revoke(wrong, "os:ada")
        ended = await desk.approvals.standings.revoke(grant.id.lower(), "os:ada")
        assert ended.id == grant.id
        with pytest.raises(ApprovalError, match="no more"):
            await desk.approvals.standings.revoke(grant.id, "os:ada")


async def test_a_value_that_was_vouched_for_is_kept_with_its_session(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        call = a_call(1, path="a.txt", text="one")
        asks = replace(an_ask(Proof.LOCAL), reason=Reason.UNPROVEN)
        made, draft = a_wait(call, TOOL, asks, call.arguments)
        shown = replace(draft.shown, vouchable=("a.txt", "b.txt"))
        held = await desk.approvals.obtain(made, replace(draft, shown=shown), FakeCaller(budget=0))
        assert isinstance(held, Held)
        with pytest.raises(ApprovalError):
            await desk.approvals.settle(held.approval.id, Chosen(Choice.VOUCH, values=("c.txt",)), BOB)
        await desk.approvals.settle(held.approval.id, Chosen(Choice.VOUCH, values=("a.txt", "c.txt")), BOB)
        (grant,) = await desk.approvals.standings.grants()
        assert (grant.scope, grant.value) == (Choice.VOUCH, "a.txt")
        assert [each.id for each in desk.approvals.standing(call, TOOL).grants] == [grant.id]
        assert desk.approvals.standing(a_call(2, session="s2"), TOOL).grants == ()
        (entry,) = [row for row in on_disk(desk.state) if row.kind is Kind.GRANT]
        assert entry.extra["value"] == "a.txt"


# --- freezes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "session", "call", "holds"),
    [
        ("", "", a_call(2), True),
        ("files", "", a_call(2), True),
        ("mail", "", a_call(2), False),
        ("", "s1", a_call(2), True),
        ("", "s2", a_call(2), False),
    ],
    ids=["everything", "upstream", "another-upstream", "session", "another-session"],
)
async def test_a_freeze_blocks_what_it_names_reads_too(
    tmp_path: Path, upstream: str, session: str, call: Call, holds: bool
) -> None:
    read = a_tool("read_file", Tier.READ, Effect.READ)
    async with a_desk(tmp_path) as desk:
        await desk.approvals.standings.freeze(upstream, session, "", "os:bob", "an audit")
        for tool in (TOOL, read):
            assert (desk.decides(call, tool).reason is Reason.FROZEN) is holds
        assert bool(desk.approvals.standing(call, TOOL).frozen) is holds
        assert await desk.records.append(desk.intent(call)) is not holds


async def test_a_freeze_is_on_disk_with_its_lapsed_grants_and_outlives_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    call = a_call(3, path="a.txt", text="x")
    async with a_desk(tmp_path, clock) as desk:
        await desk.grants(Choice.PATTERN)
        spared = await desk.grants(Choice.PATTERN, a_call(2, **OTHER), replace(TOOL, ref=replace(TOOL.ref, name="x")))
        await desk.approvals.standings.freeze("files", "", "", "os:bob", "an audit")
        assert spared.upstream == "files"
        assert desk.told(Kind.FREEZE) == ["freeze"]
        assert desk.told(Kind.GRANT) == ["given", "given", *["lapsed: frozen by os:bob"] * 2]
    async with a_desk(tmp_path, clock) as desk:
        assert desk.decides(call).reason is Reason.FROZEN
        assert "by os:bob since" in desk.approvals.standing(call, TOOL).frozen
        assert "an audit" in desk.approvals.standing(call, TOOL).frozen
        (gone,) = await desk.approvals.standings.thaw("files", "", "os:ada")
        assert (gone.upstream, desk.told(Kind.FREEZE)) == ("files", ["freeze", "thaw"])
        assert desk.decides(call).reason is Reason.RULE  # asks: the grant has lapsed for good
    async with a_desk(tmp_path, clock) as desk:
        assert desk.approvals.standings.freezes() == []


async def test_a_grant_that_is_given_at_the_moment_of_a_freeze_lapses_with_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        row = await desk.asks(a_call(1, path="a.txt", text="one"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.approvals.settle, row.id, Chosen(Choice.PATTERN), BOB)
            while not desk.store._waiting:  # the grant is on its way to the disk
                await anyio.lowlevel.checkpoint()
            await desk.approvals.freeze("files", "", "os:bob", "")
        await desk.approvals.standings.thaw("files", "", "os:bob")
        (grant,) = await desk.approvals.standings.grants()
        assert grant.ended == "lapsed: frozen by os:bob"
        assert desk.decides(a_call(2, path="a.txt", text="two")).reason is Reason.RULE
        assert desk.told(Kind.FREEZE) == ["freeze", "thaw"]


async def test_a_freeze_of_one_session_lapses_only_its_own_grants(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.grants(Choice.SESSION)
        mine = await desk.grants(Choice.SESSION, a_call(2, path="a", text="b", session="s2"))
        await desk.approvals.standings.freeze("", "s1", "", "os:bob", "")
        standing = {grant.id for grant in await desk.approvals.standings.grants() if not grant.ended}
        assert standing == {mine.id}
        assert await desk.runs(a_call(3, path="c", text="d", session="s2"))


async def test_a_freeze_that_can_not_be_written_holds_all_the_same(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=1"))
        with pytest.raises(RecordError):
            await desk.approvals.standings.freeze("", "", "", "os:bob", "")
        assert desk.decides(a_call(2)).reason is Reason.FROZEN
        await desk.store._writer.run(lambda db: db.execute("PRAGMA query_only=0"))


async def test_a_barred_tool_is_barred_in_its_session_alone_until_that_is_thawed(tmp_path: Path) -> None:
    clock = FakeClock()
    async with a_desk(tmp_path, clock) as desk:
        await desk.grants(Choice.PATTERN, a_call(1, path="a.txt", text="one"))
        row = await desk.asks(a_call(2, **OTHER))
        await desk.approvals.settle(row.id, Chosen(Choice.BAR, "not this one"), BOB)
        assert (await desk.approvals.show(row.id)).state is ApprovalState.DENIED
        here, there = a_call(3, path="a.txt", text="x"), a_call(4, path="a.txt", text="x", session="s2")
        assert desk.decides(here).reason is Reason.TOOL_BARRED
        assert desk.decides(here, replace(TOOL, ref=replace(TOOL.ref, name="y"))).reason is Reason.RULE
        assert desk.decides(there).reason is Reason.GRANTED
        assert [desk.approvals.standing(call, TOOL).note for call in (here, there)] == ["not this one", ""]
        assert not await desk.records.append(desk.intent(here))
    async with a_desk(tmp_path, clock) as desk:
        assert desk.decides(here).reason is Reason.TOOL_BARRED
        assert await desk.approvals.standings.thaw("files", "", "os:ada") == []
        assert len(await desk.approvals.standings.thaw("", "s1", "os:ada")) == 1
        assert desk.decides(here).reason is Reason.GRANTED


async def test_thawing_one_thing_leaves_the_others_held(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for upstream, session in (("", ""), ("files", ""), ("", "s1")):
            await desk.approvals.standings.freeze(upstream, session, "", "os:bob", "")
        assert len(await desk.approvals.standings.thaw("files", "", "os:ada")) == 1
        assert desk.decides(a_call(2)).reason is Reason.FROZEN
        assert await desk.approvals.standings.thaw("mail", "s9", "os:ada") == []
        assert len(await desk.approvals.standings.thaw("", "", "os:ada", everything=True)) == 2
        assert desk.decides(a_call(2)).reason is Reason.RULE


# --- what was approved and has not run yet --------------------------------------------------------------------------


async def test_a_revoked_grant_takes_the_unused_approval_of_its_card_with_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        grant = await desk.grants(Choice.PATTERN)
        other = await desk.asks(a_call(2, **OTHER))
        await desk.approvals.settle(other.id, Chosen(Choice.ONCE), BOB)
        await desk.approvals.revoke(grant.id, "os:ada")
        states = [(await desk.approvals.show(id)).state.value for id in (grant.approval, other.id)]
        assert states == ["withdrawn", "approved"]


async def test_what_was_approved_before_a_freeze_does_not_run_after_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        here, there = await desk.asks(a_call(1)), await desk.asks(a_call(2, session="s2"))
        used = await desk.asks(a_call(3, **OTHER))
        for row in (here, there, used):
            await desk.approvals.settle(row.id, Chosen(Choice.ONCE), BOB)
        assert await desk.records.append(a_record(3, session="s1", approval=used.id), (used.id,))
        await desk.approvals.freeze("", "s1", "os:bob", "")
        states = [(await desk.approvals.show(row.id)).state.value for row in (here, there, used)]
        assert states == ["withdrawn", "approved", "used"]
