"""The ledger of leaks as people use it: what is said of one is recorded, and what is due is told once."""

import hmac
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from gateway.core.approval import Voter
from gateway.core.leaks import Leak, LeakState, Stage, leak_id
from gateway.core.model import Finding, Grade, Kind, Proof, Record
from gateway.core.secrets import FINGERPRINT, GATEWAY_SECRET, identity
from gateway.errors import ApprovalError, RecordError
from gateway.leaks import GATEWAY, LOOK, PULSE, REFERENCE, TIDY_EVERY, Leaks, generations
from gateway.records import Records
from gateway.rotation import rotate
from gateway.schema import STORE_NAME
from gateway.store import Ask, Change, Entry, SqliteStore, open_store
from gateway.store.folder import DIGEST
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, NOON, FakeClock, a_record
from tests.store.keep import AT_ONCE, on_disk, whole

DAY = timedelta(days=1)
ADA = Voter("os:ada", Proof.LOCAL)
TOKEN = Finding("github-pat", "content[0].text", "ab" * 8, grade=Grade.VENDOR)
LEAK = leak_id(TOKEN.kind, TOKEN.fingerprint)


@dataclass
class Room:
    """A store with its records and leaks, and what was told."""

    store: SqliteStore
    records: Records
    leaks: Leaks
    clock: FakeClock
    told: list[tuple[str, Stage]] = field(default_factory=list)
    heard: list[Leak] = field(default_factory=list)

    async def read(self, number: int, *findings: Finding, **more: Any) -> None:
        """Record an answer in which this was found, now."""
        about = {"outcome": "ok", "release": "redacted", "at": self.clock.now(), "findings": findings}
        await self.records.append(a_record(number, Kind.OUTCOME, **{**about, **more}))

    async def only(self) -> Leak:
        """The one leak that there is."""
        (leak,) = await self.leaks.page()
        return leak

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**time).total_seconds())

    def said(self) -> Sequence[Record]:
        """The records of leaks."""
        return [record for record in on_disk(self.store.folder.path) if record.kind is Kind.LEAK]


@asynccontextmanager
async def a_room(state: Path, clock: FakeClock | None = None) -> AsyncIterator[Room]:
    """The room of a state folder."""
    clock = clock or FakeClock()
    async with open_store(state, AT_ONCE) as store:
        records = Records(store, clock, lambda upstream: "ada")
        leaks = Leaks(store, clock, await anyio.to_thread.run_sync(generations, state))
        await records.recall()
        await leaks.load()
        room = Room(store, records, leaks, clock)
        leaks.on_stage.append(lambda leak, stage: room.told.append((leak.id, stage)))
        leaks.on_change.append(room.heard.append)
        yield room


def fingerprint(store: SqliteStore, secret: str) -> str:
    """The fingerprint of a secret under the present key."""
    return hmac.digest(store.folder.key, identity(secret.encode()), "sha256").hex()[:FINGERPRINT]


async def test_a_leak_is_followed_to_its_end_and_reopens(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        assert (await room.only()).owner == "ada"
        room.later(hours=1)
        rotating = await room.leaks.resolve(LEAK.lower()[:6], LeakState.ROTATING, "", ADA)
        assert (rotating.state, rotating.by, rotating.known_by) == (LeakState.ROTATING, "os:ada", "local")
        room.later(hours=1)
        await room.leaks.resolve(LEAK, LeakState.ROTATED, " key 7 is revoked ", ADA)
        leak = await room.only()
        assert (leak.state, leak.note, leak.at) == (LeakState.ROTATED, "key 7 is revoked", room.clock.now())
        room.later(hours=1)
        await room.read(2)  # read again without it
        assert (await room.only()).clean_at == room.clock.now()
        room.later(hours=1)
        await room.read(3, TOKEN)
        leak = await room.only()
        assert (leak.state, leak.reopened, leak.exposed) == (LeakState.OPEN, 1, True)
    assert [record.extra["state"] for record in room.said()] == ["rotating", "rotated"]
    assert [record.id for record in room.said()] == [LEAK, LEAK]
    assert room.said()[1].detail == "key 7 is revoked"
    assert (room.said()[1].principal, room.said()[1].known_by) == ("os:ada", "local")
    assert [leak.state for leak in room.heard] == [LeakState.ROTATING, LeakState.ROTATED]
    await whole(tmp_path / "state")


async def test_a_record_without_findings_changes_nothing(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1)
        assert await room.leaks.page() == []


async def test_the_secrets_of_every_kind_of_writing_are_followed(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        about = {"outcome": "ok", "release": "redacted", "findings": (TOKEN,)}
        room.records.queue(a_record(1, Kind.OUTCOME, **about))
        room.records.queue_small(a_record(2, Kind.OUTCOME), lambda record: a_record(2, Kind.OUTCOME, **about))
        room.records.queue_small(a_record(3, Kind.OUTCOME, **about), lambda record: record)
        room.records.owe(a_record(4, Kind.OUTCOME, **about))
        assert await room.records.sweep() == 1
        assert (await room.only()).times == 4


async def test_the_same_records_lead_to_the_same_ledger(tmp_path: Path) -> None:
    chance = random.Random(7)
    tokens = [Finding("jwt", "content[0].text", f"{number:016x}") for number in range(4)]
    async with a_room(tmp_path / "one") as room:
        for number in range(200):
            about = {
                "outcome": chance.choice(("ok", "ok", "error")),
                "release": chance.choice(("full", "redacted", "withheld")),
                "findings": tuple(chance.sample(tokens, chance.choice((0, 0, 1, 2)))),
                "arguments_digest": chance.choice(("d1", "d2")),
                "session": chance.choice(("s1", "s2")),
            }
            record = a_record(number, chance.choice((Kind.INTENT, Kind.OUTCOME)), **about)
            if chance.random() < 0.5:
                room.records.queue(record)
            else:
                room.records.queue_small(record, lambda made: made)
        await room.records.flush()
        first = await room.leaks.page()
    written = on_disk(tmp_path / "one")
    async with a_room(tmp_path / "two") as room:
        for record in written:
            await room.records.append(record)
        again = await room.leaks.page()
    assert len(first) == len(tokens)
    assert [replace(leak, generation="") for leak in again] == [replace(leak, generation="") for leak in first]
    assert {leak.exposed for leak in first} == {True, False}


async def test_a_late_record_whose_source_is_read_again_before_it_is_made_is_noticed(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        about = {"outcome": "ok", "release": "redacted"}
        room.records.queue_small(a_record(1, Kind.OUTCOME, findings=(TOKEN,), **about), lambda record: record)
        room.records.queue(a_record(2, Kind.OUTCOME, **about))
        await room.records.flush()
        assert (await room.only()).clean_at == a_record(2).at


async def test_what_is_said_of_a_leak_has_to_count(tmp_path: Path) -> None:
    later = NOON + DAY
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN, Finding("jwt", "content", "cd" * 8))
        exact = Finding(GATEWAY_SECRET, "content", "ef" * 8, exact=True)
        await room.read(2, exact)
        leaks, own = room.leaks, leak_id(exact.kind, exact.fingerprint)
        weak, unlisted = replace(ADA, proof=Proof.CLIENT), replace(ADA, proofs=frozenset({Proof.SIGNED}))
        for say, objection in (
            (leaks.show("l_9999"), "unknown"),
            (leaks.show("l_"), "unknown"),
            (leaks.resolve("l_9999", LeakState.ROTATING, "", ADA), "unknown"),
            (leaks.resolve(LEAK, LeakState.ROTATED, " ", ADA), "note"),
            (leaks.resolve(LEAK, LeakState.ACCEPTED, "why", ADA), "state"),
            (leaks.resolve(LEAK, LeakState.OPEN, "", ADA), "settled"),
            (leaks.resolve(LEAK, LeakState.ROTATING, "", weak), "proof-too-weak"),
            (leaks.resolve(LEAK, LeakState.ROTATING, "", unlisted), "not-listed"),
            (leaks.accept(LEAK, "", later, ADA), "note"),
            (leaks.accept(LEAK, "why", NOON, ADA), "expiry"),
            (leaks.accept(LEAK, "why", NOON + 91 * DAY, ADA), "expiry"),
            (leaks.accept(LEAK, "why", later, weak), "proof-too-weak"),
            (leaks.accept(own, "why", later, ADA, false_positive=True), "exact"),
        ):
            with pytest.raises(ApprovalError) as refused:
                await say
            assert refused.value.objection == objection
        assert (room.said(), room.heard) == ([], [])


async def test_a_prefix_that_begins_several_leaks_is_none(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        made: dict[str, Finding] = {}
        number = 0
        while True:  # two ids that begin alike
            finding = Finding("jwt", "content", f"{number:016x}")
            prefix = leak_id(finding.kind, finding.fingerprint)[:4]
            if prefix in made:
                break
            made[prefix], number = finding, number + 1
        await room.read(1, made[prefix], finding)
        with pytest.raises(ApprovalError) as refused:
            await room.leaks.show(prefix)
        assert refused.value.objection == "ambiguous"
        whole_id = leak_id(finding.kind, finding.fingerprint)
        assert (await room.leaks.show(whole_id)).id == whole_id


async def test_of_two_who_speak_at_the_same_moment_one_is_heard(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        leak = await room.only()
        await room.leaks.resolve(LEAK, LeakState.ROTATED, "done", ADA)
        with pytest.raises(ApprovalError, match="somebody else"):
            await room.leaks._move(leak, replace(leak, state=LeakState.ROTATING))
        assert len(room.said()) == 1


async def test_a_false_positive_passes_until_its_expiry_and_after_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    async with a_room(tmp_path / "state", clock) as room:
        await room.read(1, TOKEN)
        assert not room.leaks.allows(TOKEN.fingerprint)
        accepted = await room.leaks.accept(LEAK, "", clock.now() + DAY, ADA, false_positive=True)
        assert (accepted.false_positive, accepted.until) == (True, clock.now() + DAY)
        assert room.leaks.allows(TOKEN.fingerprint)
        assert not room.leaks.allows("cd" * 8)
    async with a_room(tmp_path / "state", clock) as room:
        assert room.leaks.allows(TOKEN.fingerprint)
        room.later(days=1)
        assert not room.leaks.allows(TOKEN.fingerprint)
    await whole(tmp_path / "state")


async def test_a_false_positive_that_is_said_to_be_none_passes_no_more(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        await room.leaks.accept(LEAK, "", NOON + DAY, ADA, false_positive=True)
        room.later(hours=1)
        leak = await room.leaks.resolve(LEAK, LeakState.OPEN, "it is one after all", ADA)
        assert not room.leaks.allows(TOKEN.fingerprint)
        assert (leak.opened_at, leak.false_positive, leak.until) == (room.clock.now(), False, None)
        assert await room.only() == leak
        await room.leaks.accept(LEAK, "known", NOON + DAY, ADA)
        assert not room.leaks.allows(TOKEN.fingerprint)
    await whole(tmp_path / "state")


async def test_each_stage_is_told_once_and_stands_on_the_record(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        for days in (0, 0, 7, 7, 14, 27, 40):
            room.clock.wall = NOON + timedelta(days=days)
            await room.leaks.look()
        assert room.told == [(LEAK, stage) for stage in Stage]
        assert [record.extra["stage"] for record in room.said()] == ["opened", "due", "owner", "overdue"]
        await room.read(2, TOKEN)
        await room.leaks.look()
        assert len(room.told) == 4
        await room.leaks.resolve(LEAK, LeakState.ROTATED, "done", ADA)
        room.later(hours=1)
        await room.leaks.look()
        await room.read(3, TOKEN)
        await room.leaks.look()
        assert room.told[4:] == [(LEAK, Stage.OPENED)]
    await whole(tmp_path / "state")


async def test_stages_that_passed_while_no_gateway_ran_are_told_as_the_last_of_them(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
    async with a_room(tmp_path / "state", FakeClock(NOON + 20 * DAY)) as room:
        await room.leaks.look()
        assert room.told == [(LEAK, Stage.OWNER)]


async def test_an_acceptance_that_is_over_opens_the_leak_and_is_told(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        await room.leaks.look()
        await room.leaks.accept(LEAK, "until the move", NOON + DAY, ADA, false_positive=True)
        room.later(hours=23)
        await room.leaks.look()
        assert (await room.only()).state is LeakState.ACCEPTED
        room.later(hours=1)
        await room.leaks.look()
        leak = await room.only()
        assert (leak.state, leak.opened_at, leak.by) == (LeakState.OPEN, room.clock.now(), GATEWAY)
        assert not room.leaks._passing
        await room.leaks.look()
        assert room.told == [(LEAK, Stage.OPENED)] * 2
        assert [leak.state for leak in room.heard] == [LeakState.ACCEPTED, LeakState.OPEN]
    await whole(tmp_path / "state")


async def test_a_reference_that_gives_another_value_has_rotated_its_leak(tmp_path: Path) -> None:
    before, after = "first-K7x9Qw2mVt4z", "other-J3n8Rb6pYc1s"
    async with a_room(tmp_path / "state") as room:
        room.leaks.learned("files", {"TOKEN": f"Bearer {before}"})
        await room.leaks.look()
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, before), exact=True))
        assert (await room.only()).grade is Grade.EXACT
    async with a_room(tmp_path / "state") as room:
        room.leaks.learned("files", {"TOKEN": f"Bearer {before}"})
        await room.leaks.look()
        assert (await room.only()).state is LeakState.OPEN
        room.leaks.learned("files", {"TOKEN": f"Bearer {after}"})
        await room.leaks.look()
        leak = await room.only()
        assert (leak.state, leak.by, leak.known_by) == (LeakState.ROTATED, GATEWAY, REFERENCE)
        assert "files.TOKEN" in leak.note
        room.leaks.learned("files", {"TOKEN": f"Bearer {after}"})
        await room.leaks.look()
        assert len([record for record in room.said() if "state" in record.extra]) == 1
    assert before not in str(room.said())
    await whole(tmp_path / "state")


async def test_a_reference_that_was_learned_just_before_the_end_is_kept_in_mind(tmp_path: Path) -> None:
    before, after = "first-K7x9Qw2mVt4z", "other-J3n8Rb6pYc1s"
    async with a_room(tmp_path / "state") as room:
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, before), exact=True))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(room.leaks.run)
            await anyio.wait_all_tasks_blocked()
            room.leaks.learned("files", {"TOKEN": before})
            tasks.cancel_scope.cancel()
    async with a_room(tmp_path / "state") as room:
        room.leaks.learned("files", {"TOKEN": after})
        await room.leaks.look()
        assert (await room.only()).state is LeakState.ROTATED


async def test_a_value_that_another_reference_still_gives_is_not_rotated(tmp_path: Path) -> None:
    shared, other = "first-K7x9Qw2mVt4z", "other-J3n8Rb6pYc1s"
    async with a_room(tmp_path / "state") as room:
        room.leaks.learned("files", {"TOKEN": shared, "SAME": shared})
        await room.leaks.look()
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, shared), exact=True))
        room.leaks.learned("files", {"TOKEN": other})
        await room.leaks.look()
        assert (await room.only()).state is LeakState.OPEN
        room.leaks.learned("files", {"SAME": other})
        await room.leaks.look()
        assert (await room.only()).state is LeakState.ROTATED


async def test_the_same_value_under_an_exchanged_key_is_not_rotated_and_another_one_is(tmp_path: Path) -> None:
    same, other = "first-K7x9Qw2mVt4z", "other-J3n8Rb6pYc1s"
    state, clock = tmp_path / "state", FakeClock()
    async with a_room(state, clock) as room:
        room.leaks.learned("files", {"TOKEN": same})
        await room.leaks.look()
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, same), exact=True))
        before = await room.only()
    for value, found in ((same, LeakState.OPEN), (other, LeakState.ROTATED)):
        async with open_store(state, AT_ONCE) as store:
            await rotate(store, clock, DIGEST, "os:ada")
        async with a_room(state, clock) as room:
            room.leaks.learned("files", {"TOKEN": value})
            await room.leaks.look()
            leak = await room.only()
            assert leak.state is found
            if found is LeakState.OPEN:
                assert leak.id != before.id
                assert (leak.generation, leak.opened_at) == (room.store.folder.mark(DIGEST)[:16], before.opened_at)
    await whole(state)


async def test_a_secret_that_is_seen_again_under_an_exchanged_key_is_the_same_leak(tmp_path: Path) -> None:
    secret, state, clock = "first-K7x9Qw2mVt4z", tmp_path / "state", FakeClock()
    async with a_room(state, clock) as room:
        before = replace(TOKEN, fingerprint=fingerprint(room.store, secret))
        await room.read(1, before)
        await room.leaks.look()
        await room.leaks.accept((await room.only()).id, "", NOON + DAY, ADA, false_positive=True)
        await room.read(2, replace(before, kind="jwt"))
    async with open_store(state, AT_ONCE) as store:
        await rotate(store, clock, DIGEST, "os:ada")
    async with a_room(state, clock) as room:
        after = replace(TOKEN, fingerprint=fingerprint(room.store, secret))
        room.leaks.recognise(b"another one", "00" * 8)
        room.leaks.recognise(secret.encode(), after.fingerprint)
        clock.advance(60)
        await room.read(3, after)
        assert not room.leaks.allows(after.fingerprint)
        await room.leaks.look()
        token, jwt = sorted(await room.leaks.page(), key=lambda leak: leak.kind)
        assert (token.times, token.first_call, token.last_call) == (2, a_record(1).id, a_record(3).id)
        assert (token.state, token.false_positive, jwt.times) == (LeakState.ACCEPTED, True, 1)
        assert {leak.fingerprint for leak in (token, jwt)} == {after.fingerprint}
        assert room.leaks.allows(after.fingerprint)
        assert not room.leaks.allows(before.fingerprint)
        await room.leaks.look()
        assert len([record for record in room.said() if "follows" in record.extra]) == 2
    await whole(state)


async def test_of_a_key_that_is_lost_nothing_is_concluded(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        secret = "first-K7x9Qw2mVt4z"
        room.leaks.learned("files", {"TOKEN": secret})
        await room.leaks.look()
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, secret), exact=True))
        leaks = Leaks(room.store, room.clock, {"another": b"k" * 32})
        leaks.learned("files", {"TOKEN": "other-J3n8Rb6pYc1s"})
        await leaks.look()
        assert (await room.only()).state is LeakState.OPEN


async def test_what_can_not_be_looked_after_now_is_tried_again(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        room.leaks.learned("files", {"TOKEN": "first-K7x9Qw2mVt4z"})
        await room.read(1, TOKEN)
        await room.store._writer.run(lambda db: db.execute("PRAGMA query_only=ON").fetchall())
        await room.leaks.look()
        await room.leaks.tidy()
        with pytest.raises(RecordError):
            await room.leaks.resolve(LEAK, LeakState.ROTATING, "", ADA)
        await room.store._writer.run(lambda db: db.execute("PRAGMA query_only=OFF").fetchall())
        assert (room.told, room.heard, room.leaks._unsettled) == ([], [], {"files.TOKEN"})
        await room.leaks.look()
        assert (room.told, room.leaks._unsettled) == ([(LEAK, Stage.OPENED)], set())


class Overtaken:
    """A store in which somebody is always faster, until that is over; what it was asked to change is noted."""

    def __init__(self, store: SqliteStore) -> None:
        self._store, self.over, self.asked = store, False, list[str]()

    async def append(self, entries: Sequence[Entry], changes: Sequence[Change] = ()) -> bool:
        self.asked += [change.name for change in changes if change.must]
        return self.over and await self._store.append(entries, changes)

    async def ask(self, question: Ask) -> Sequence[tuple[Any, ...]]:
        return await self._store.ask(question)


async def test_what_somebody_else_changed_at_the_same_moment_is_looked_at_again(tmp_path: Path) -> None:
    secret, state, clock = "first-K7x9Qw2mVt4z", tmp_path / "state", FakeClock()
    async with a_room(state, clock) as room:
        room.leaks.learned("files", {"TOKEN": secret})
        await room.leaks.look()
        await room.read(1, Finding(GATEWAY_SECRET, "content", fingerprint(room.store, secret), exact=True), TOKEN)
        await room.leaks.accept(LEAK, "", NOON + DAY, ADA, false_positive=True)
    clock.advance(DAY.total_seconds())
    async with a_room(state, clock) as room:
        store = Overtaken(room.store)
        leaks = Leaks(store, clock, room.leaks._keys)  # type: ignore[arg-type]  # as much of a store as it needs
        leaks.learned("files", {"TOKEN": "other-J3n8Rb6pYc1s"})
        await leaks.look()
        assert store.asked[0] == "leak.move"  # rotated
        assert sorted(store.asked[1:]) == ["leak.move", "leak.tell"]  # over, and the other told: in the order of ids
        assert (leaks._unsettled, room.said()[1:]) == ({"files.TOKEN"}, [])
        store.over = True
        await leaks.look()
        assert {leak.state for leak in await leaks.page()} == {LeakState.ROTATED, LeakState.OPEN}
    await whole(state)


async def test_a_leak_that_was_seen_meanwhile_goes_on_at_the_next_look(tmp_path: Path) -> None:
    secret, state, clock = "first-K7x9Qw2mVt4z", tmp_path / "state", FakeClock()
    async with a_room(state, clock) as room:
        await room.read(1, replace(TOKEN, fingerprint=fingerprint(room.store, secret)))
    async with open_store(state, AT_ONCE) as store:
        await rotate(store, clock, DIGEST, "os:ada")
    async with a_room(state, clock) as room:
        overtaken = Overtaken(room.store)
        leaks = Leaks(overtaken, clock, room.leaks._keys)  # type: ignore[arg-type]  # as above
        await leaks.load()
        leaks.recognise(secret.encode(), fingerprint(room.store, secret))
        await leaks.look()
        assert (await room.only()).fingerprint != fingerprint(room.store, secret)
        overtaken.over = True
        await leaks.look()
        assert (await room.only()).fingerprint == fingerprint(room.store, secret)
        assert (leaks._older, leaks._known_again) == ({}, {})
        room.leaks.recognise(secret.encode(), fingerprint(room.store, secret))
        await room.leaks.look()  # another one has let it go on already
        assert len([record for record in room.said() if "follows" in record.extra]) == 1
    await whole(state)


async def test_it_looks_now_and_then_and_soon_where_a_reference_was_learned(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room, anyio.create_task_group() as tasks:
        with anyio.fail_after(DEADLINE):
            tasks.start_soon(room.leaks.run)
            await room.clock.asleep(1)
            await room.read(1, TOKEN)
            for _ in range(int(LOOK / PULSE) - 1):
                await turned(room, PULSE)
            assert room.told == []
            await turned(room, PULSE)
            assert room.told == [(LEAK, Stage.OPENED)]
            room.leaks.learned("files", {"TOKEN": "first-K7x9Qw2mVt4z"})
            await turned(room, PULSE)
            assert room.leaks._unsettled == set()
            room.clock.wall += 300 * DAY
            await room.leaks.resolve(LEAK, LeakState.ROTATED, "done", ADA)
            room.clock.wall += 400 * DAY
            room.clock.ticks += TIDY_EVERY
            await turned(room, LOOK)
            assert await room.leaks.page() == []
        tasks.cancel_scope.cancel()


async def turned(room: Room, seconds: float) -> None:
    """Let time pass, and wait until the look that it brought is over."""
    room.clock.advance(seconds)
    await room.clock.asleep(1)


async def test_what_was_rotated_long_ago_is_forgotten(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
        await room.leaks.resolve(LEAK, LeakState.ROTATED, "done", ADA)
        room.later(days=300)
        await room.leaks.tidy()
        assert len(await room.leaks.page()) == 1
        room.later(days=100)
        await room.leaks.tidy()
        assert await room.leaks.page() == []
    await whole(tmp_path / "state")


async def test_a_leak_that_was_changed_behind_the_record_is_found(tmp_path: Path) -> None:
    async with a_room(tmp_path / "state") as room:
        await room.read(1, TOKEN)
    forged = "UPDATE leak SET state = 'accepted', false_positive = 1, until = '2999-01-01T00:00:00.000000Z'"
    with closing(sqlite3.connect(tmp_path / "state" / STORE_NAME)) as db, db:
        db.execute(forged)
    found = await anyio.to_thread.run_sync(verify_folder, tmp_path / "state")
    assert not found.ok
    assert LEAK in found.detail
