"""A copy of a store: one moment of it, whole, made while others write; and put back in its place."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway import backup
from gateway.backup import Copied, back_up
from gateway.checkpoints import Checkpoints
from gateway.config import Recording
from gateway.core.model import Kind
from gateway.errors import StateError
from gateway.records import Records
from gateway.rotation import rotate
from gateway.schema import ID_NAME, KEY_NAME, OLD_KEYS_NAME, SIGNING_NAME, STORE_NAME
from gateway.store import open_store
from gateway.store.folder import DIGEST, SIGNING, digest_keys
from gateway.verifying import verify_folder
from tests.fakes import DEADLINE, FakeClock, a_record
from tests.store.keep import AT_ONCE, an_entry, ids_on_disk, whole

CHUNK = "x" * 2_000


async def filled(state: Path, count: int = 3, begin: int = 0) -> str:
    """A gateway records some outcomes and makes a checkpoint; returns the note."""
    clock = FakeClock()
    async with open_store(state, AT_ONCE) as store:
        records = Records(store, clock)
        for number in range(begin, begin + count):
            await records.append(a_record(number, Kind.OUTCOME, outcome="ok"))
        return await Checkpoints(store, records, clock, Recording(), store.folder.signing_key).make()


async def backed_up(state: Path, target: Path, *, keys: bool = False) -> Copied:
    return await anyio.to_thread.run_sync(partial(back_up, state, target, keys=keys))


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def entries(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_a_copy_is_the_record_and_the_id_and_verifies_alone(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    await filled(state)
    found, keys = await backed_up(state, copy)
    original = await whole(state)
    assert (found.ok, found.size, found.root, keys) == (True, 5, original.root, 0)
    assert names(copy) == {STORE_NAME, ID_NAME}
    assert (await whole(copy)).root == original.root
    assert names(copy) == {STORE_NAME, ID_NAME}  # to look at it leaves nothing beside it
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in copy.iterdir()} == {0o600}
    assert entries(tmp_path) == ["copy", "state"]


async def test_the_keys_are_copied_only_if_asked(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    await filled(state)
    async with open_store(state, AT_ONCE) as store:
        await rotate(store, FakeClock(), DIGEST, "os:alice")
    found, keys = await backed_up(state, copy, keys=True)
    (old,) = (state / OLD_KEYS_NAME).iterdir()
    assert names(copy) == {STORE_NAME, ID_NAME, KEY_NAME, SIGNING_NAME, f"{OLD_KEYS_NAME}/{old.name}"}
    assert keys == 3
    assert found.ok
    assert {stat.S_IMODE(file.stat().st_mode) for file in copy.rglob("*") if file.is_file()} == {0o600}
    assert stat.S_IMODE((copy / OLD_KEYS_NAME).stat().st_mode) == 0o700
    read = partial(anyio.to_thread.run_sync, digest_keys)
    assert await read(copy) == await read(state)


async def test_keys_that_are_not_the_records_are_not_copied_with_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await filled(state)
    (state / KEY_NAME).write_bytes(b"y" * 32)
    with pytest.raises(StateError, match="digest key"):
        await backed_up(state, tmp_path / "copy", keys=True)
    assert entries(tmp_path) == ["state"]


async def test_nothing_is_overwritten_and_nothing_is_left_of_a_copy_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    await filled(state)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "file", "link"):
        with pytest.raises(StateError, match="is there already"):
            await backed_up(state, tmp_path / name)
    with pytest.raises(StateError, match="no record"):
        await backed_up(tmp_path / "none", tmp_path / "copy")
    with pytest.raises(OSError):
        await backed_up(state, tmp_path / "no-folder" / "copy")

    def full(descriptor: int) -> None:
        raise OSError(28, "the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        await backed_up(state, tmp_path / "copy")
    assert entries(tmp_path) == ["empty", "file", "link", "state"]


async def test_a_record_that_is_not_whole_is_copied_as_it_is_and_said(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    await filled(state)
    with closing(sqlite3.connect(state / STORE_NAME)) as db, db:
        db.execute("UPDATE record SET tool = 'other' WHERE seq = 2")
    found, _ = await backed_up(state, copy)
    assert (found.ok, found.first_bad) == (False, 2)
    assert (copy / STORE_NAME).is_file()


async def test_copies_that_are_made_while_others_write_are_each_one_moment_and_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds all that was acknowledged before it began; nothing that is written waits for it or fails."""
    monkeypatch.setattr(backup, "PAGES", 1)
    state = tmp_path / "state"
    acknowledged = 0
    during: list[int] = []
    with anyio.fail_after(3 * DEADLINE):
        async with open_store(state, AT_ONCE) as store, anyio.create_task_group() as tasks:
            records = Records(store, FakeClock())

            async def write() -> None:
                nonlocal acknowledged
                while True:
                    await records.append(a_record(acknowledged, Kind.OUTCOME, outcome="ok", detail=CHUNK))
                    acknowledged += 1

            large = [an_entry(number, Kind.OUTCOME, outcome="ok", detail=CHUNK) for number in range(5_000)]
            await store.append(large)  # so much that a copy that began anew with each write would never end
            tasks.start_soon(write)
            await store.beyond(len(large) + 20)
            for number in range(3):
                before = acknowledged
                found, _ = await backed_up(state, tmp_path / f"copy-{number}")
                assert found.ok, found.detail
                assert before <= found.size - len(large) <= acknowledged + 1
                during.append(acknowledged - before)
            tasks.cancel_scope.cancel()
    assert min(during) > 0
    assert len(await anyio.to_thread.run_sync(ids_on_disk, state)) >= len(large) + acknowledged
    await whole(state)


async def test_a_copy_that_is_put_in_place_is_gone_on_with_and_is_known_to_be_older(tmp_path: Path) -> None:
    """As docs/record.md tells it: the old folder is moved away, the copy and the old keys take its place."""
    state, copy, away = tmp_path / "state", tmp_path / "copy", tmp_path / "state.old"
    await filled(state)
    await backed_up(state, copy)
    later = await filled(state, 3, 10)
    state.rename(away)
    await anyio.to_thread.run_sync(shutil.copytree, copy, state)
    with pytest.raises(StateError, match="rotate digest --lost"):
        await filled(state, 1, 20)
    for name in (KEY_NAME, SIGNING_NAME):
        await anyio.to_thread.run_sync(shutil.copy2, away / name, state)
    older = await anyio.to_thread.run_sync(verify_folder, state, later)
    assert (older.ok, older.first_bad) == (False, 6)
    assert "an older copy" in older.detail
    await filled(state, 1, 20)
    assert (await whole(state)).size == 7


async def test_a_copy_of_before_an_exchange_gets_its_key_back_from_the_old_ones(tmp_path: Path) -> None:
    state, copy, away = tmp_path / "state", tmp_path / "copy", tmp_path / "state.old"
    await filled(state)
    await backed_up(state, copy)
    for which in (DIGEST, SIGNING):
        async with open_store(state, AT_ONCE) as store:
            await rotate(store, FakeClock(), which, "os:alice")
    await filled(state, 3, 10)
    state.rename(away)
    await anyio.to_thread.run_sync(shutil.copytree, away, state)
    await anyio.to_thread.run_sync(shutil.copy2, copy / STORE_NAME, state)
    await filled(state, 1, 20)
    assert (await whole(state)).size == 7
    assert len(names(state / OLD_KEYS_NAME)) == 4  # the ones of before, and the ones that the copy doesn't know


async def test_a_copy_with_its_keys_needs_nothing_else(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    await filled(state)
    await backed_up(state, copy, keys=True)
    await anyio.to_thread.run_sync(shutil.rmtree, state)
    await anyio.to_thread.run_sync(shutil.copytree, copy, state)
    await filled(state, 1, 20)
    await whole(state)
