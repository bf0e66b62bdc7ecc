"""What every implementation of `port.Store` has to keep, second part: each change and question that `rows.py` names.

It knows no SQL and no table, only what the functions of `rows.py` say.
"""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.approval import Ballot
from gateway.core.canon import digest
from gateway.core.merkle import Tree
from gateway.core.model import Approval, ApprovalState, Effect, Kind, Proof, Reason, Record, Requirement, Shown, Tier
from gateway.errors import RecordError
from gateway.store import rows
from gateway.store.port import Change, Store
from gateway.store.rows import SavedConnection
from tests.fakes import NOON, a_call
from tests.store.contract import LATER, MINUTE, Contract, speaks_of, told
from tests.store.keep import an_entry


def an_approval(number: int = 1, **more: Any) -> Approval:
    """A row that waits for a person, for the call `a_call(number)`."""
    call = a_call(number)
    row = Approval(
        id=f"a_{number:010d}",
        state=ApprovalState.WAITING,
        call=call.id,
        principal=call.principal.id,
        client=call.client.name,
        session=call.context.session,
        upstream="files",
        tool="write_file",
        exposed=call.exposed,
        definition=digest({"name": "write_file"}),
        arguments={"path": "a.txt"},
        arguments_digest=call.digest,
        tier=Tier.WRITE,
        effect=Effect.WRITE,
        rule="files.writes",
        reason=Reason.RULE,
        requirement=Requirement(Proof.LOCAL, frozenset({"role:ops"}), 2, 10 * MINUTE),
        obligations=("redact",),
        policy_revision="r1",
        method="resources/read",
        shown=Shown(
            "os-user", "claude-code 2.1", "stdio", "modern", "00-trace", "ada", "human alice", ("files.toml:12",)
        ),
        rules=("files.writes",),
        labels="l",
        pins={"path": "00"},
        free=("text",),
        asked_digest=call.digest,
        created_at=NOON + number * MINUTE,
        expires_at=LATER,
    )
    return replace(row, **more)


def ballot(by: str = "os:bob") -> Ballot:
    """A person's yes."""
    return Ballot(by, Proof.LOCAL, True, NOON, "fine")


def settled(row: Approval, state: ApprovalState) -> Approval:
    """The row as it is once somebody decided."""
    return replace(row, state=state, decided_by="os:bob", decided_at=NOON + MINUTE, proof=Proof.LOCAL, note="fine")


async def open_rows(store: Store, *approvals: Approval) -> None:
    """Write these rows down, whatever state they are in."""
    for row in approvals:
        waiting = replace(row, state=ApprovalState.WAITING)
        assert await store.append((), (rows.insert_approval(waiting, limit=100),))
        if row.state is not ApprovalState.WAITING:
            assert await store.append((), (rows.move_approval(waiting, row, (), ()),))


async def states(store: Store) -> dict[str, ApprovalState]:
    """The rows and their states."""
    return {row.id: row.state for row in await rows.list_approvals(store, None, 100)}


async def told_now(store: Store) -> list[str]:
    """The rows to which the call may attach."""
    return [row.id for row in await rows.told_approvals(store, a_call(), NOON)]


class TablesContract(Contract):
    """Pruning, open intents, words, connections, handles and approvals."""

    # Pruning.

    @speaks_of("record.prune", "pruned.advance", "pruned")
    async def test_pruning_keeps_numbers_tree_and_what_remains(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(number) for number in range(1, 8)])
            whole, leaves = store.tree, await store.leaves(0, 7)
            gone = Tree()
            gone.extend(leaves[:3])
            assert (await rows.get_pruned(store)).size == 0
            assert await store.append((), rows.prune(0, gone))
            assert not await store.append((), rows.prune(0, gone))  # somebody was faster
            assert await rows.get_pruned(store) == gone
        async with place() as store:
            assert (store.size, store.tree) == (7, whole)
            assert told(await store.tail(0, 10)) == [4, 5, 6, 7]
            assert await store.by_id("d_0000000003") == []
            assert list(await store.leaves(0, 7)) == list(leaves[3:])
            await store.append([an_entry(8)])
            assert [seq for seq, _ in await store.tail(6, 10)] == [7, 8]

    # What is asked of the record beside pages.

    @speaks_of("record.open-intents", "record.first-open", "record.ended")
    async def test_intents_without_an_outcome_are_found(self, place: Any) -> None:
        async with place() as store:
            await store.append([an_entry(number) for number in (1, 2, 3)])
            await store.append([an_entry(2, Kind.OUTCOME, outcome="ok"), an_entry(3)])
            found = [(seq, each.id) for seq, each in await rows.open_intents(store, 0, 10)]
            assert found == [(1, "d_0000000001"), (3, "d_0000000003"), (5, "d_0000000003")]
            assert [seq for seq, _ in await rows.open_intents(store, 1, 1)] == [3]
            assert [await rows.first_open(store, *span) for span in ((0, 5), (1, 5), (1, 2), (5, 5))] == [
                1,
                3,
                None,
                None,
            ]
            assert [await rows.has_ended(store, f"d_{number:010d}") for number in (1, 2, 9)] == [False, True, False]

    @speaks_of("record.intents-since")
    async def test_the_newest_intents_of_a_time_come_oldest_first(self, place: Any) -> None:
        async with place() as store:
            for number in range(5):
                await store.append([an_entry(number), an_entry(number, Kind.OUTCOME, outcome="ok")])

            async def since(*how: Any) -> list[Record]:
                return await rows.intents_since(store, *how)

            assert [each.id[-1] for each in await since(NOON + timedelta(seconds=2))] == ["2", "3", "4"]
            assert [each.id[-1] for each in await since(NOON, 2)] == ["3", "4"]
            assert {each.kind for each in await since(NOON)} == {Kind.INTENT}

    # Words about the store, and connections.

    @speaks_of("meta.set", "meta.get")
    async def test_a_word_is_kept_in_place_of_the_one_before(self, place: Any) -> None:
        async with place() as store:
            assert await rows.get_meta(store, "a") == ""
            for word in ("one", "two"):
                assert await store.append((), [rows.set_meta("a", word)])
            assert (await rows.get_meta(store, "a"), await rows.get_meta(store, "b")) == ("two", "")

    @speaks_of("connection.keep", "connection.forget", "connection.by-id", "connection.tidy")
    async def test_the_last_handshake_of_a_connection_is_kept_until_it_is_forgotten(self, place: Any) -> None:
        first = SavedConnection("c1", "os:alice", "claude-code", "s1", "legacy", {"a": [1, None, "ü"]}, NOON)
        last = replace(first, handshake={"a": 2}, updated_at=NOON + MINUTE)
        other = replace(first, id="c2")
        async with place() as store:
            await store.append((), [rows.put_connection(first), rows.put_connection(other), rows.put_connection(last)])
            assert await rows.find_connection(store, "c1") == last
            await store.append((), rows.tidy(NOON + MINUTE))
            assert (await rows.find_connection(store, "c1"), await rows.find_connection(store, "c2")) == (last, None)
            forget = rows.forget_connection("c1")
            assert await store.append((), [forget, forget])
            assert not await store.append((), [Change("connection.forget", ("c1",))])
            assert await rows.find_connection(store, "c1") is None

    # Handles.

    @speaks_of("handle.open", "handle.by-hash", "handle.count", "handle.tidy")
    async def test_a_handle_is_found_by_its_secret_and_counted_for_its_row(self, place: Any) -> None:
        async with place() as store:
            for name, approval, expires in (("h1", "a1", NOON), ("h2", "a1", LATER), ("h3", "", LATER)):
                handle = rows.insert_handle(name, a_call(2), "d_0000000001", NOON, expires, approval)
                assert await store.append((), [handle])
            found = await rows.find_handle(store, "h1")
            assert found == rows.Handle("a1", "d_0000000001", NOON)
            assert await rows.find_handle(store, "h9") is None
            assert [await rows.count_handles(store, name) for name in ("a1", "", "a9")] == [2, 1, 0]
            await store.append((), rows.tidy(NOON + MINUTE))
            assert [await rows.find_handle(store, name) is None for name in ("h1", "h2")] == [True, False]

    @speaks_of("handle.use")
    async def test_a_handle_is_used_once_by_the_very_call_before_it_expires(self, place: Any) -> None:
        call = a_call()
        others = [
            a_call(path="b.txt"),
            a_call(session="s2"),
            replace(call, exposed="files__other"),
            replace(call, method="prompts/get"),
            replace(call, principal=replace(call.principal, id="os:carol")),
            replace(call, client=replace(call.client, name="cursor")),
        ]
        async with place() as store:
            await store.append((), [rows.insert_handle("h", call, call.id, NOON, LATER)])
            for other in others:
                assert not await store.append((), [rows.use_handle("h", other, NOON)])
            assert not await store.append((), [rows.use_handle("h", call, LATER)])
            assert not await store.append((), [rows.use_handle("g", call, NOON)])
            assert await store.append((), [rows.use_handle("h", call, NOON)])
            assert not await store.append((), [rows.use_handle("h", call, NOON)])

    # Approvals.

    @speaks_of("approval.open", "approval.newest", "approval.in-state", "approval.by-prefix")
    async def test_an_approval_is_found_as_it_was_opened(self, place: Any) -> None:
        first, second, third = (an_approval(number) for number in (1, 2, 13))
        async with place() as store:
            await open_rows(store, second, first, settled(third, ApprovalState.DENIED))
            assert await rows.list_approvals(store, None, 2) == [second, settled(third, ApprovalState.DENIED)]
            assert await rows.list_approvals(store, ApprovalState.WAITING, 9) == [first, second]
            assert await rows.list_approvals(store, ApprovalState.WAITING, 1) == [second]
            assert await rows.find_approvals(store, "a_000000001") == [settled(third, ApprovalState.DENIED)]
            assert await rows.find_approvals(store, "a_") == [first, second]  # two tell that it is not one
            assert await rows.find_approvals(store, "a_9") == []

    @speaks_of("approval.open")
    async def test_an_edit_is_found_with_the_digest_that_was_asked_for_and_attached_to_by_that(
        self, place: Any
    ) -> None:
        edit = an_approval(1, arguments_digest="00", follows="a_0000000009", told=True)
        async with place() as store:
            await open_rows(store, edit)
            assert await rows.find_approvals(store, edit.id) == [edit]
            assert await told_now(store) == [edit.id]

    @speaks_of("approval.open")
    async def test_no_more_rows_are_opened_for_a_principal_in_an_hour_than_the_limit(self, place: Any) -> None:
        async with place() as store:

            async def open_one(number: int, **more: Any) -> bool:
                return bool(await store.append((), [rows.insert_approval(an_approval(number, **more), limit=2)]))

            assert [await open_one(number) for number in (1, 2, 3)] == [True, True, False]
            assert await open_one(4, principal="os:carol")
            assert await open_one(5, created_at=NOON + timedelta(minutes=62))
            with pytest.raises(RecordError):
                await store.append([an_entry(1)], [rows.insert_approval(an_approval(5, principal="os:dan"), limit=2)])
            assert store.size == 0

    @speaks_of("approval.move", "approval.ballots")
    async def test_a_row_moves_only_from_the_state_and_the_ballots_that_were_seen(self, place: Any) -> None:
        row, one, two = an_approval(), (ballot(),), (ballot(), ballot("os:carol"))
        done = settled(row, ApprovalState.APPROVED)
        async with place() as store:
            await open_rows(store, row)
            assert await rows.find_ballots(store, row.id) == ()
            assert await store.append((), [rows.move_approval(row, row, (), one)])
            assert not await store.append((), [rows.move_approval(row, done, (), two)])  # a ballot was not seen
            assert await store.append((), [rows.move_approval(row, done, one, two)])
            assert not await store.append((), [rows.move_approval(row, done, two, two)])  # it waits no more
            assert await rows.find_approvals(store, row.id) == [done]
            assert await rows.find_ballots(store, row.id) == two
            assert await rows.find_ballots(store, "a_0000000009") == ()

    @speaks_of("approval.move")
    async def test_a_row_that_another_one_took_the_place_of_tells_which(self, place: Any) -> None:
        row = an_approval()
        gone = replace(row, state=ApprovalState.WITHDRAWN, followed_by="a_0000000002")
        async with place() as store:
            await open_rows(store, row)
            assert await store.append((), [rows.move_approval(row, gone, (), ())])
            assert await rows.find_approvals(store, row.id) == [gone]

    @speaks_of("approval.use")
    async def test_an_approval_is_used_once_before_it_expires_and_only_if_it_was_given(self, place: Any) -> None:
        approved, waiting, late = an_approval(1), an_approval(2), an_approval(3, expires_at=NOON)
        async with place() as store:
            await open_rows(store, settled(approved, ApprovalState.APPROVED), waiting)
            await open_rows(store, settled(late, ApprovalState.APPROVED))
            used = [
                await store.append((), [rows.use_approval(row.id, NOON)]) for row in (approved, waiting, late, approved)
            ]
            assert used == [True, False, False, False]
            assert (await states(store))[approved.id] is ApprovalState.USED

    @speaks_of("approval.tell", "approval.tell-waiting", "approval.attach", "approval.told")
    async def test_a_call_attaches_to_a_row_that_it_was_told_of_until_it_has(self, place: Any) -> None:
        waiting, denied, used = an_approval(1), an_approval(2), an_approval(3)
        async with place() as store:
            await open_rows(store, waiting, settled(denied, ApprovalState.DENIED), settled(used, ApprovalState.USED))
            assert await told_now(store) == []
            assert not await store.append((), [rows.attach_approval(waiting.id)])
            hits = [
                await store.append((), [rows.tell_approval(row.id, waiting=True)]) for row in (waiting, denied, used)
            ]
            assert (hits, await told_now(store)) == ([True, False, False], [waiting.id])
            hits = [
                await store.append((), [rows.tell_approval(row.id, waiting=False)]) for row in (waiting, denied, used)
            ]
            assert (hits, await told_now(store)) == ([True, True, False], [waiting.id, denied.id])
            for call in (a_call(path="b.txt"), a_call(session="s2")):
                assert await rows.told_approvals(store, call, NOON) == []
            assert await rows.told_approvals(store, a_call(), LATER) == []
            assert await store.append((), [rows.attach_approval(waiting.id)])
            assert not await store.append((), [rows.attach_approval(waiting.id)])
            assert await told_now(store) == [denied.id]

    @speaks_of("approval.tell-all")
    async def test_at_a_start_every_open_row_can_be_attached_to(self, place: Any) -> None:
        told_of = [
            an_approval(1),
            settled(an_approval(2), ApprovalState.APPROVED),
            settled(an_approval(3), ApprovalState.DENIED),
        ]
        async with place() as store:
            assert await store.append((), [rows.tell_all()])
            await open_rows(store, *told_of)
            assert await store.append((), [rows.tell_all()])
            assert await told_now(store) == [told_of[0].id, told_of[1].id]

    @speaks_of("approval.waiting-in")
    async def test_the_rows_that_wait_in_a_session_come_oldest_first(self, place: Any) -> None:
        row, later = an_approval(1), an_approval(5)
        others = [an_approval(2, session="s2"), an_approval(3, principal="os:carol"), an_approval(4, client="cursor")]
        async with place() as store:
            await open_rows(store, later, *others, row, settled(an_approval(6), ApprovalState.APPROVED))
            assert await rows.waiting_in(store, later, 9) == [row, later]
            assert await rows.waiting_in(store, later, 1) == [row]

    @speaks_of("approval.last-approved", "approval.of-tool", "approval.tally")
    async def test_what_became_of_a_tools_calls_is_told_for_one_principal(self, place: Any) -> None:
        row = an_approval(1)
        ends = [settled(an_approval(number), ApprovalState.APPROVED) for number in (2, 3)]
        ends.append(settled(an_approval(4), ApprovalState.USED))
        ends.append(replace(settled(an_approval(5), ApprovalState.USED), decided_by="os:ada"))
        ends.append(settled(an_approval(6), ApprovalState.DENIED))
        others = {"upstream": "mail", "tool": "read_file", "principal": "os:carol"}
        strangers = [
            settled(an_approval(number, **{name: value}), ApprovalState.APPROVED)
            for number, (name, value) in enumerate(others.items(), 7)
        ]
        async with place() as store:
            await open_rows(store, row, *ends, *strangers)
            assert await rows.last_approved(store, row, 9) == ends[3::-1]
            assert await rows.last_approved(store, row, 2) == [ends[3], ends[2]]
            assert await rows.asked_of_tool(store, row, NOON, 9) == [*ends[::-1], row]
            assert await rows.asked_of_tool(store, row, row.created_at, 2) == [ends[4], ends[3]]
            assert await rows.asked_of_tool(store, row, ends[4].created_at, 9) == []
            first, *rest = await rows.tally(store, row)
            assert first == (ApprovalState.APPROVED, "os:bob", 2)
            assert rest[0] == (ApprovalState.USED, "os:ada", 1)
            assert sorted(rest[1:]) == [(ApprovalState.DENIED, "os:bob", 1), (ApprovalState.USED, "os:bob", 1)]
            assert await rows.tally(store, an_approval(9, tool="other")) == []

    @speaks_of("approval.due", "approval.tidy")
    async def test_rows_whose_time_is_over_are_due_and_settled_ones_are_removed(self, place: Any) -> None:
        due, approved = an_approval(1, expires_at=NOON), an_approval(2, expires_at=NOON)
        denied, later = an_approval(3, expires_at=NOON), an_approval(4)
        async with place() as store:
            await open_rows(store, due, settled(approved, ApprovalState.APPROVED), later)
            await open_rows(store, settled(denied, ApprovalState.DENIED))
            assert [row.id for row in await rows.due_approvals(store, NOON)] == [due.id, approved.id]
            await store.append((), rows.tidy(NOON))
            assert len(await states(store)) == 4
            await store.append((), rows.tidy(NOON + MINUTE))
            assert set(await states(store)) == {due.id, approved.id, later.id}
