"""Keys are exchanged, cut off at whatever moment, lost; what was signed and digested before still counts."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from gateway import proof
from gateway.approvals import Approvals
from gateway.bundling import bundle
from gateway.checkpoints import Checkpoints
from gateway.config import Recording
from gateway.core.approval import Chosen, Voter
from gateway.core.canon import keyed_digest
from gateway.core.grants import give, stands
from gateway.core.model import ApprovalState, Choice, Held, Kind, Proof
from gateway.core.verify import Verification
from gateway.errors import ApprovalError, StateError
from gateway.reading import reading
from gateway.records import Records
from gateway.rotation import Rotated, rotate
from gateway.schema import KEY_NAME, OLD_KEYS_NAME, SIGNING_NAME
from gateway.store import SqliteStore, open_store, people
from gateway.store.folder import DIGEST, SIGNING, digest_keys, mark
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, KEY, NOON, FakeCaller, FakeClock, a_call, a_record, a_row, a_tool, a_wait, an_ask
from tests.store.keep import AT_ONCE, on_disk, whole

FILES = {DIGEST: KEY_NAME, SIGNING: SIGNING_NAME}
WHICH = pytest.mark.parametrize("which", [DIGEST, SIGNING])


class Cut(Exception):  # noqa: N818 - it is no error: it stands for a kill
    """The process ended here."""


async def ran(state: Path, begin: int = 0) -> tuple[str, str]:
    """A gateway runs: two calls are recorded and a checkpoint made; returns the note and the key that signed it."""
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE) as store:
            records = Records(store, clock)
            checkpoints = Checkpoints(store, records, clock, Recording(), store.folder.signing_key)
            for number in (begin, begin + 1):
                await records.append(a_record(number, Kind.OUTCOME, outcome="ok"))
            note = await checkpoints.make()
            return note, await anyio.to_thread.run_sync(checkpoints._vkey)


async def rotated(state: Path, which: str, *, lost: bool = False) -> Rotated:
    with anyio.fail_after(DEADLINE):
        async with open_store(state, AT_ONCE, lost=(DIGEST, SIGNING) if lost else ()) as store:
            return await rotate(store, FakeClock(), which, "os:alice", lost=lost)


async def verified(state: Path, against: str = "", key: str = "") -> Verification:
    return await anyio.to_thread.run_sync(verify_folder, state, against, key)


async def shown(state: Path, call: str, key: str) -> list[str]:
    """What a bundle of a call shows to somebody who knows one key."""

    def show() -> list[str]:
        with reading(state) as db:
            return proof.check(json.loads(json.dumps(bundle(db, call))), key)

    return await anyio.to_thread.run_sync(show)


async def digested(state: Path, value: bytes) -> list[str]:
    """What a value's digest is, under each key that is there."""
    return [keyed_digest(key, value) for key in await anyio.to_thread.run_sync(digest_keys, state)]


@WHICH
async def test_an_exchange_is_recorded_and_the_old_key_is_kept(tmp_path: Path, which: str) -> None:
    state = tmp_path / "state"
    await ran(state)
    before = (state / FILES[which]).read_bytes()
    done = await rotated(state, which)
    assert (state / FILES[which]).read_bytes() != before
    (old,) = (state / OLD_KEYS_NAME).iterdir()
    assert old.read_bytes() == before
    assert old.stat().st_mode & 0o777 == 0o600
    record = on_disk(state)[-1]
    assert (record.kind, record.principal) == (Kind.KEY, "os:alice")
    assert {name: record.extra[name] for name in ("which", "key", "before", "lost")} == {
        "which": which,
        "key": done.key,
        "before": done.before,
        "lost": False,
    }
    await ran(state, 5)
    await whole(state)


async def test_who_knows_either_signing_key_can_check_what_the_other_one_signed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    old_note, old = await ran(state)
    done = await rotated(state, SIGNING)
    new_note, new = await ran(state, 5)
    assert (done.before, done.key) == (old, new)
    assert sum(record.kind is Kind.KEY for record in on_disk(state)) == 2  # the gateway doesn't name it once more
    for key in (old, new, ""):
        found = await verified(state, old_note + "\n" + new_note, key)
        assert found.ok, found.detail
    for key in (old, new):
        assert "row" in (await shown(state, "d_0000000000", key))[-1]
        assert "row" in (await shown(state, "d_0000000005", key))[-1]
    third = (await rotated(state, SIGNING)).key
    await ran(state, 8)
    assert (await verified(state, old_note, third)).ok
    assert "row" in (await shown(state, "d_0000000008", old))[-1]


async def test_a_signing_key_that_nobody_had_to_sign_over_counts_for_nobody_who_knows_the_old_one(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    note, old = await ran(state)
    (state / SIGNING_NAME).unlink()
    with pytest.raises(StateError, match="rotate signing --lost"):
        await ran(state, 5)
    done = await rotated(state, SIGNING, lost=True)
    assert (done.before, done.lost) == (old, True)
    assert not (state / OLD_KEYS_NAME).exists()
    _, new = await ran(state, 5)
    assert new == done.key
    assert (await verified(state, note)).ok
    assert (await verified(state, note, new)).ok
    assert "row" in (await shown(state, "d_0000000000", new))[-1]
    assert not (await verified(state, note, old)).ok
    with pytest.raises(proof.Refused):
        await shown(state, "d_0000000005", old)


async def test_a_digest_key_that_is_lost_leaves_a_record_that_verifies_and_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await ran(state)
    (state / KEY_NAME).unlink()
    with pytest.raises(StateError, match="rotate digest --lost"):
        await ran(state, 5)
    await rotated(state, DIGEST, lost=True)
    await ran(state, 5)
    assert (await whole(state)).size == 8


async def test_both_keys_can_be_lost(tmp_path: Path) -> None:
    for first, second in ((DIGEST, SIGNING), (SIGNING, DIGEST)):
        state = tmp_path / first
        await ran(state)
        for name in FILES.values():
            (state / name).unlink()
        await rotated(state, first, lost=True)
        with pytest.raises(StateError, match=f"rotate {second} --lost"):
            await ran(state, 5)
        await rotated(state, second, lost=True)
        await ran(state, 5)
        await whole(state)


@WHICH
async def test_another_key_in_its_place_is_a_lost_key(tmp_path: Path, which: str) -> None:
    state = tmp_path / "state"
    await ran(state)
    (state / FILES[which]).write_bytes(b"y" * 32)
    with pytest.raises(StateError):
        await rotated(state, which)
    await rotated(state, which, lost=True)
    await ran(state, 5)
    await whole(state)


@WHICH
async def test_a_key_that_is_there_is_not_lost(tmp_path: Path, which: str) -> None:
    state = tmp_path / "state"
    await ran(state)
    before = (state / FILES[which]).read_bytes()
    with pytest.raises(StateError, match="is not lost"):
        await rotated(state, which, lost=True)
    assert (state / FILES[which]).read_bytes() == before


async def test_a_store_that_never_signed_can_exchange_its_key_and_lose_it(tmp_path: Path) -> None:
    for lost in (False, True):
        state = tmp_path / str(lost)
        async with open_store(state, AT_ONCE) as store:
            await Records(store, FakeClock()).append(a_record(1, Kind.OUTCOME, outcome="ok"))
        if lost:
            (state / SIGNING_NAME).unlink()
        assert bool((await rotated(state, SIGNING, lost=lost)).before) is not lost
        await ran(state, 5)
        await whole(state)


async def test_approvals_that_are_open_are_withdrawn_with_their_digest_key_and_others_stay(tmp_path: Path) -> None:
    state, clock = tmp_path / "state", FakeClock()
    held: list[str] = []
    async with open_store(state, AT_ONCE) as store:
        approvals = Approvals(store, clock, KEY)
        for number in range(3):
            waits = a_wait(a_call(number, path=str(number)), a_tool(), an_ask(Proof.LOCAL), {})
            answer = await approvals.obtain(*waits, FakeCaller(budget=0))
            assert isinstance(answer, Held)
            held.append(answer.approval.id)
        await approvals.vote(held[1], True, "os:bob", Proof.LOCAL)
        await approvals.vote(held[2], False, "os:bob", Proof.LOCAL)
    assert (await rotated(state, SIGNING)).withdrawn == 0
    assert (await rotated(state, DIGEST)).withdrawn == 2
    async with open_store(state, AT_ONCE) as store:
        approvals = Approvals(store, clock, store.folder.key)
        states = {row.id: row.state for row in await approvals.list()}
        assert [states[each] for each in held] == [
            ApprovalState.WITHDRAWN,
            ApprovalState.WITHDRAWN,
            ApprovalState.DENIED,
        ]
        with pytest.raises(ApprovalError):
            await approvals.vote(held[0], True, "os:bob", Proof.LOCAL)
    await whole(state)


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
async def test_grants_that_stand_end_with_the_digest_key_that_they_were_pinned_by(tmp_path: Path, lost: bool) -> None:
    state, clock, call, tool = tmp_path / "state", FakeClock(), a_call(), a_tool()
    row = a_row("a_0000000001", call, tool, an_ask(Proof.LOCAL))
    scopes = {Choice.ARGUMENTS: "", Choice.PATTERN: "", Choice.SESSION: "", Choice.VOUCH: "a.txt"}
    given = [
        give(row, Chosen(scope), Voter("os:bob", Proof.LOCAL), f"g_{number:010d}", NOON, value)
        for number, (scope, value) in enumerate(scopes.items())
    ]
    over = [
        replace(given[0], id="g_0000000007", uses=0),
        replace(given[0], id="g_0000000008", expires_at=NOON),
        replace(given[0], id="g_0000000009"),
    ]
    async with open_store(state, AT_ONCE) as store:
        approvals = Approvals(store, clock, KEY)
        for grant in (*given, *over):
            await store.append((approvals.standings.entry(grant, grant.owner),), (people.insert_grant(grant),))
        await approvals.standings.load()
        await approvals.standings.revoke(over[-1].id, "os:bob")
        assert all(grant in approvals.standings.of(call, tool).grants for grant in given)
    assert (await rotated(state, SIGNING)).ended == 0
    if lost:
        (state / KEY_NAME).unlink()
    assert (await rotated(state, DIGEST, lost=lost)).ended == len(given)
    assert (await rotated(state, DIGEST)).ended == 0
    async with open_store(state, AT_ONCE) as store:
        approvals = Approvals(store, clock, store.folder.key)
        await approvals.standings.load()
        assert not any(stands(grant, NOON) for grant in approvals.standings.of(call, tool).grants)
        ended = {grant.id: grant.ended for grant in await people.list_grants(store, 9)}
    why = "the digest key was exchanged"
    before = {over[0].id: "", over[1].id: "", over[2].id: "revoked by os:bob"}  # these did not stand any more
    assert ended == {**dict.fromkeys([grant.id for grant in given], why), **before}
    told = [record for record in on_disk(state) if record.kind is Kind.GRANT and record.extra["state"] == why]
    assert {record.id for record in told} == {grant.id for grant in given}
    assert {record.extra["by"] for record in told} == {"os:alice"}
    await whole(state)


class Scissors:
    """Ends the process before its `at`-th step that reaches the disk; `cut` tells whether it came so far."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left, self.cut = at, False
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
            patch.setattr(owner, name, self._before(getattr(owner, name)))
        append = SqliteStore.append

        async def appended(store: SqliteStore, *given: Any) -> bool:
            self._step()
            result = await append(store, *given)
            self._step()
            return result

        patch.setattr(SqliteStore, "append", appended)

    def _before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*given: Any, **named: Any) -> Any:
            self._step()
            return work(*given, **named)

        return stepped

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.cut = True
            raise Cut


@WHICH
@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
async def test_an_exchange_can_be_cut_off_before_every_step(tmp_path: Path, which: str, lost: bool) -> None:
    """Afterwards the gateway starts with one key or the other, or, if it was lost, the exchange can be made again."""
    origin, value = tmp_path / "origin", b"value"
    note, _ = await ran(origin)
    (old,) = await digested(origin, value)
    if lost:
        (origin / FILES[which]).unlink()
    steps, ends = 0, set[bool]()
    while True:
        state = tmp_path / f"cut-{steps}"
        await anyio.to_thread.run_sync(shutil.copytree, origin, state)
        with pytest.MonkeyPatch.context() as patch, suppress(Cut):
            async with open_store(state, AT_ONCE, lost=(DIGEST, SIGNING) if lost else ()) as store:
                scissors = Scissors(patch, steps)
                await rotate(store, FakeClock(), which, "os:alice", lost=lost)
        exchanged = any("lost" in record.extra and record.extra["which"] == which for record in on_disk(state)[4:])
        if lost and not exchanged:
            with pytest.raises(StateError, match=f"rotate {which} --lost"):
                await ran(state, 5)
            await rotated(state, which, lost=True)
        await ran(state, 5)
        found = await verified(state, note)
        assert found.ok, (steps, found.detail)
        told = [record.extra["key"] for record in on_disk(state) if record.extra.get("which") == which]
        if which == DIGEST and exchanged:
            assert mark((state / KEY_NAME).read_bytes()) == told[-1]
        if which == DIGEST and not lost:
            assert old in await digested(state, value)
        await rotated(state, which)
        await ran(state, 8)
        assert (await verified(state, note)).ok
        ends.add(exchanged)
        if not scissors.cut:
            break
        steps += 1
    assert steps >= 6
    assert ends == {True, False}


async def test_a_gateway_that_runs_keeps_its_key(tmp_path: Path) -> None:
    async with open_store(tmp_path / "state", AT_ONCE) as store:
        key = store.folder.key
        with pytest.raises(StateError, match="another gateway"):
            await rotated(tmp_path / "state", DIGEST)
        assert store.folder.key == (tmp_path / "state" / KEY_NAME).read_bytes() == key
