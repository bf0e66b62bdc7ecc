"""What every implementation of `port.Store` has to keep, third part: each change and question that `people.py` names.

It knows no SQL and no table, only what the functions of `people.py` say.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.approval import Chosen, Voter
from gateway.core.grants import give
from gateway.core.model import Choice, Freeze, Grant, Proof
from gateway.core.signed import ApproverKey, KeyKind
from gateway.errors import RecordError
from gateway.store import people, rows
from gateway.store.port import Change, Store
from tests.fakes import NOON
from tests.store.contract import LATER, MINUTE, Contract, speaks_of
from tests.store.contract_tables import an_approval
from tests.store.keep import an_entry


def a_grant(number: int = 1, **more: Any) -> Grant:
    """A grant from the card of `an_approval`, given `number` minutes after noon."""
    chosen = Chosen(Choice.PATTERN, "fine", until=LATER, uses=2)
    voter = Voter("os:bob", Proof.SIGNED, frozenset({"ops", "mail-admin"}))
    return replace(give(an_approval(), chosen, voter, f"g_{number:010d}", NOON + number * MINUTE), **more)


def a_freeze(number: int = 1, upstream: str = "", session: str = "", tool: str = "") -> Freeze:
    """What somebody holds since `number` minutes after noon."""
    return Freeze(f"l_{number:010d}", upstream, session, tool, "os:bob", NOON + number * MINUTE, "wait")


def a_key(id: str = "SHA256:one", **more: Any) -> ApproverKey:
    """A key that bob enrolled."""
    key = ApproverKey(id, "bob", KeyKind.SSH, "ssh-ed25519 AAAA", attended=True, added_at=NOON, added_by="os:bob")
    return replace(key, **more)


async def did(store: Store, *changes: Change) -> list[bool]:
    """Which of these changes, each alone, hit something."""
    return [await store.append((), (change,)) for change in changes]


async def standing(store: Store) -> list[str]:
    """The grants that stand at noon, by id; they come in no order."""
    return sorted(grant.id for grant in await people.standing_grants(store, NOON))


def ids(found: Sequence[Grant]) -> list[str]:
    """Their ids, in order."""
    return [grant.id for grant in found]


class PeopleContract(Contract):
    """Grants, freezes and the keys of approvers."""

    # Grants.

    @speaks_of("grant.open", "grant.all", "grant.by-prefix")
    async def test_a_grant_is_found_as_it_was_given_the_newest_first(self, place: Any) -> None:
        first, third = a_grant(1), a_grant(13, scope=Choice.VOUCH, value="ops@example.com", pins={}, rules=())
        second = a_grant(2, created_at=third.created_at)
        async with place() as store:
            assert await people.list_grants(store, 9) == []
            assert await did(store, *map(people.insert_grant, (first, third, second))) == [True] * 3
            assert await people.list_grants(store, 9) == [third, second, first]
            assert await people.list_grants(store, 2) == [third, second]
            assert await people.find_grants(store, "g_000000001") == [third]
            assert await people.find_grants(store, "g_") == [first, second]  # two tell that it is not one
            assert await people.find_grants(store, "g_9") == []
        async with place() as store:
            assert await people.find_grants(store, first.id) == [first]

    @speaks_of("grant.open")
    async def test_an_id_that_is_taken_gives_no_second_grant_and_no_record(self, place: Any) -> None:
        async with place() as store:
            assert await store.append([an_entry(1)], [people.insert_grant(a_grant())])
            with pytest.raises(RecordError):
                await store.append([an_entry(2)], [people.insert_grant(a_grant(owner="os:mallory"))])
            assert (store.size, await people.list_grants(store, 9)) == (1, [a_grant()])

    @speaks_of("grant.use", "grant.end")
    async def test_a_grant_is_used_as_often_as_it_may_be_before_it_expires_and_while_it_stands(
        self, place: Any
    ) -> None:
        twice, late, ended = a_grant(1), a_grant(2, expires_at=NOON), a_grant(3)
        async with place() as store:
            await did(store, *map(people.insert_grant, (twice, late, ended)))
            assert await did(store, people.end_grant(ended.id, "revoked by os:bob")) == [True]
            names = (twice.id, late.id, ended.id, "g_0000000009", twice.id, twice.id)
            assert await did(store, *(people.use_grant(name, NOON) for name in names)) == [
                *(True, False, False, False),  # the second is over, the third was ended, nobody gave the fourth
                *(True, False),  # there was one use left
            ]
            used = {grant.id: grant.used for grant in await people.list_grants(store, 9)}
            assert used == {twice.id: 2, late.id: 0, ended.id: 0}
            assert not await store.append([an_entry(1)], [people.use_grant(twice.id, NOON)])
            assert store.size == 0

    @speaks_of("grant.end", "grant.standing")
    async def test_a_grant_ends_once_and_keeps_why(self, place: Any) -> None:
        first, second, late = a_grant(1), a_grant(2), a_grant(3, expires_at=NOON)
        async with place() as store:
            await did(store, *map(people.insert_grant, (first, second, late)))
            assert await standing(store) == [first.id, second.id]
            ends = [people.end_grant(first.id, why) for why in ("frozen", "revoked by os:bob")]
            assert await did(store, *ends, people.end_grant("g_0000000009", "frozen")) == [True, False, False]
            assert await standing(store) == [second.id]
            assert await people.find_grants(store, first.id) == [replace(first, ended="frozen")]
            await did(store, people.use_grant(second.id, NOON))
            assert await people.standing_grants(store, NOON) == [replace(second, used=1)]

    @speaks_of("grant.tidy")
    async def test_grants_that_expired_are_removed(self, place: Any) -> None:
        late, ended, later = a_grant(1, expires_at=NOON), a_grant(2), a_grant(3)
        async with place() as store:
            await did(store, *map(people.insert_grant, (late, ended, later)), people.end_grant(ended.id, "frozen"))
            await store.append((), rows.tidy(NOON))
            assert ids(await people.list_grants(store, 9)) == [later.id, ended.id, late.id]
            await store.append((), rows.tidy(NOON + MINUTE))
            assert ids(await people.list_grants(store, 9)) == [later.id, ended.id]

    # Freezes.

    @speaks_of("freeze.add", "freeze.lift", "frozen")
    async def test_what_is_held_is_told_oldest_first_until_it_is_let_go(self, place: Any) -> None:
        first, second = a_freeze(1, "files", "s1", "write_file"), a_freeze(2)
        async with place() as store:
            assert await people.list_freezes(store) == []
            assert await did(store, people.insert_freeze(second), people.insert_freeze(first)) == [True, True]
            assert await people.list_freezes(store) == [first, second]
            with pytest.raises(RecordError):
                await store.append((), [people.insert_freeze(first)])
        async with place() as store:
            lifts = [people.lift_freeze(name) for name in (first.id, first.id)]
            assert await did(store, *lifts) == [True, False]
            assert await people.list_freezes(store) == [second]

    @pytest.mark.parametrize(
        ("held", "stops"),
        [
            (a_freeze(), [True, True, True, True, True]),
            (a_freeze(1, "files"), [True, True, True, False, True]),
            (a_freeze(1, "", "s1"), [True, True, False, True, True]),
            (a_freeze(1, "files", "s1"), [True, True, False, False, True]),
            (a_freeze(1, "files", "s1", "write_file"), [True, False, False, False, False]),
        ],
        ids=["everything", "an upstream", "a session", "both", "a tool in a session"],
    )
    @speaks_of("freeze.none")
    async def test_an_intent_is_not_written_while_its_calls_are_held(
        self, held: Freeze, stops: Sequence[bool], place: Any
    ) -> None:
        calls = [
            ("files", "s1", "write_file"),
            ("files", "s1", "read_file"),
            ("files", "s2", "write_file"),
            ("mail", "s1", "write_file"),
            ("files", "s1", ""),
        ]
        async with place() as store:
            conditions = [people.not_frozen(*call) for call in calls]
            assert await did(store, *conditions) == [True] * len(calls)
            await did(store, people.insert_freeze(held))
            assert await did(store, *conditions) == [not stopped for stopped in stops]
            assert not await store.append([an_entry(1)], [conditions[0]])
            assert store.size == 0
            assert await store.append([an_entry(2)], [people.lift_freeze(held.id), conditions[0]])

    # Keys of approvers.

    @speaks_of("key.add", "key.revoke", "keys")
    async def test_a_key_counts_until_it_is_revoked(self, place: Any) -> None:
        last, first = a_key(), a_key("z", name="ada", kind=KeyKind.PASSKEY, attended=False, counter=7, added_at=None)
        second = a_key("SHA256:another")
        async with place() as store:
            assert await people.list_keys(store) == []
            assert await did(store, *map(people.insert_key, (last, first, second))) == [True] * 3
            assert await people.list_keys(store) == [first, second, last]
            with pytest.raises(RecordError):
                await store.append((), [people.insert_key(a_key(name="mallory"))])
        async with place() as store:
            assert await did(store, people.drop_key(last.id), people.drop_key(last.id)) == [True, False]
            assert await people.list_keys(store) == [first, second]

    @speaks_of("key.count")
    async def test_the_counter_of_a_key_that_counts_has_to_grow(self, place: Any) -> None:
        async with place() as store:
            await did(store, people.insert_key(a_key("a")), people.insert_key(a_key("b", counter=2)))
            counted = [people.count_key("a", 0), people.count_key("a", 0), people.count_key("a", 3)]
            assert await did(store, *counted, people.count_key("a", 3)) == [True, True, True, False]
            backwards = [people.count_key("b", counter) for counter in (0, 1, 2)]
            assert await did(store, *backwards, people.count_key("c", 9)) == [False] * 4
            assert await did(store, people.count_key("b", 9)) == [True]
            assert [key.counter for key in await people.list_keys(store)] == [3, 9]
