"""Checkpoints: when they are made, where they are sent, and that what keeps them can fail without harm."""

import base64
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from gateway.checkpoints import Checkpoints, keepers
from gateway.config import Keeper, Recording
from gateway.core.merkle import Tree, verify_consistency
from gateway.core.model import Kind, Record
from gateway.core.note import COSIGNATURE, Verifier, read_checkpoint, read_note, read_notes, read_vkey
from gateway.records import Records
from gateway.signing import verifier_of, verify
from gateway.store import SqliteStore, open_store
from tests.checkpoints.witness import Witness, serving
from tests.fakes import DEADLINE, FakeClock, a_record
from tests.store.keep import AT_ONCE, on_disk, whole


@dataclass
class Made:
    store: SqliteStore
    records: Records
    clock: FakeClock
    checkpoints: Checkpoints
    state: Path

    @property
    def seed(self) -> bytes:
        return self.store.folder.signing_key

    def of(self, kind: Kind) -> list[Record]:
        return [record for record in on_disk(self.state) if record.kind is kind]

    async def fill(self, count: int) -> None:
        for number in range(count):
            await self.records.append(a_record(number, Kind.OUTCOME, outcome="ok"))


@asynccontextmanager
async def made(folder: Path, **how: object) -> AsyncIterator[Made]:
    clock = FakeClock()
    with anyio.fail_after(DEADLINE):
        async with open_store(folder / "state", AT_ONCE) as store:
            records = Records(store, clock)
            room = Checkpoints(store, records, clock, Recording(**how), store.folder.signing_key)  # type: ignore[arg-type]  # a table
            yield Made(store, records, clock, room, folder / "state")
    await whole(folder / "state")


async def test_a_checkpoint_is_signed_over_all_that_is_durable_and_recorded(tmp_path: Path) -> None:
    async with made(tmp_path) as house:
        await house.fill(3)
        note = read_note(await house.checkpoints.make())
        found = read_checkpoint(note.text)
        origin = f"wardgate/{house.store.gateway_id}"
        assert (found.origin, found.size) == (origin, 4)
        assert note.signed_by(verifier_of(origin, house.seed), verify)
        (record,) = house.of(Kind.CHECKPOINT)
        assert (record.extra["size"], record.extra["root"]) == (4, found.root.hex())
        tree = Tree.restore(4, base64.b64decode(record.extra["frontier"]))
        assert tree.root() == found.root


async def test_checkpoints_are_made_by_number_and_by_time_and_not_for_their_own_sake(tmp_path: Path) -> None:
    async with (
        made(tmp_path, checkpoint_rows=5, checkpoint_every=60.0, origin="o") as house,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(house.checkpoints.run)
        await house.fill(5)
        await house.store.beyond(6)
        assert [record.extra["size"] for record in house.of(Kind.CHECKPOINT)] == [6]  # the key is one of them
        await house.fill(1)
        await house.clock.asleep(1)
        house.clock.advance(61)
        await house.store.beyond(8)
        assert [record.extra["size"] for record in house.of(Kind.CHECKPOINT)] == [6, 8]
        house.clock.advance(600)
        await anyio.wait_all_tasks_blocked()
        assert len(house.of(Kind.CHECKPOINT)) == 2
        tasks.cancel_scope.cancel()


async def test_the_key_is_named_in_the_record_once(tmp_path: Path) -> None:
    async with made(tmp_path, origin="o") as house:
        await house.checkpoints._introduce()
        await house.checkpoints._introduce()
        (record,) = house.of(Kind.KEY)
        assert read_vkey(record.extra["key"]) == verifier_of("o", house.seed)


async def test_notes_are_added_to_a_file_that_others_keep(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with made(tmp_path, checkpoints=(Keeper("file", str(kept)),)) as house:
        await house.fill(1)
        notes = [await house.checkpoints.make(), await house.checkpoints.make()]
        assert read_notes(kept.read_text(encoding="utf-8")) == [read_note(note) for note in notes]
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_a_keeper_that_fails_is_told_once_and_tried_with_the_next(tmp_path: Path) -> None:
    kept = tmp_path / "folder" / "kept"
    async with made(tmp_path, checkpoints=(Keeper("file", str(kept)),)) as house:
        for _ in range(2):
            await house.checkpoints.make()
        (signal,) = house.of(Kind.SIGNAL)
        assert (signal.detail, signal.extra["keeper"]) == ("checkpoint-failed", "file")
        kept.parent.mkdir()
        await house.checkpoints.make()
        assert len(read_notes(kept.read_text(encoding="utf-8"))) == 1
        kept.unlink()
        kept.symlink_to(tmp_path / "elsewhere")
        await house.checkpoints.make()
        assert len(house.of(Kind.SIGNAL)) == 2
        assert not (tmp_path / "elsewhere").exists()
        assert len(house.of(Kind.CHECKPOINT)) == 4


async def test_a_command_gets_the_note_and_nothing_else(tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + repr(sorted(os.environ)))"
    kept = tmp_path / "kept"
    async with made(tmp_path, checkpoints=(Keeper("command", sys.executable, ("-c", script, str(kept))),)) as house:
        note = await house.checkpoints.make()
        assert kept.read_text(encoding="utf-8").startswith(note)
        assert "PATH" not in kept.read_text(encoding="utf-8").removeprefix(note)
    async with made(
        tmp_path / "b", checkpoints=(Keeper("command", sys.executable, ("-c", "raise SystemExit(3)")),)
    ) as house:
        await house.checkpoints.make()
        assert [signal.extra["keeper"] for signal in house.of(Kind.SIGNAL)] == ["command"]


async def test_a_command_that_takes_too_long_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "DEADLINE", 0.1)
    keeper = Keeper(
        "command",
        sys.executable,
        ("-c", "import sys; sys.stdin.buffer.read(); sys.stdin = None; import select; select.select([], [], [])"),
    )
    async with made(tmp_path, checkpoints=(keeper,)) as house:
        await house.checkpoints.make()
        assert len(house.of(Kind.SIGNAL)) == 1


async def test_syslog_gets_the_note_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = os.path.relpath(tmp_path / "log")  # noqa: ASYNC240 - a name of a socket must be short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(address)
        monkeypatch.setattr(keepers, "SYSLOG", address)
        async with made(tmp_path, checkpoints=(Keeper("syslog", "daemon"),)) as house:
            note = await house.checkpoints.make()
            heard = syslog.recv(65536).decode().rstrip("\0")
            assert heard.partition("wardgate checkpoint ")[2].replace("\\n", "\n") == note
            assert house.of(Kind.SIGNAL) == []
    async with made(tmp_path / "gone", checkpoints=(Keeper("syslog", "daemon"),)) as house:
        await house.checkpoints.make()
        assert len(house.of(Kind.SIGNAL)) == 1


async def test_a_witness_cosigns_what_is_consistent_with_what_it_saw(tmp_path: Path) -> None:
    async with serving(Witness()) as (witness, url), made(tmp_path, checkpoints=(Keeper("witness", url),)) as house:
        await house.fill(3)
        first = read_note(await house.checkpoints.make())
        await house.fill(4)
        second = read_note(await house.checkpoints.make())
        assert first.signed_by(witness.verifier, verify)
        assert second.signed_by(witness.verifier, verify)
        assert [size for size, _ in witness.seen] == [4, 9]
        assert [record.extra["witnessed"] for record in house.of(Kind.CHECKPOINT)] == [[url], [url]]
        later = Checkpoints(
            house.store, house.records, house.clock, Recording(checkpoints=(Keeper("witness", url),)), house.seed
        )
        assert read_note(await later.make()).signed_by(witness.verifier, verify)  # asked where the witness stands
        witness.seen[:] = [(6, b"x" * 32)]
        await later.make()
        assert [signal.extra["keeper"] for signal in house.of(Kind.SIGNAL)] == ["witness"]


async def test_the_last_checkpoint_covers_the_stop(tmp_path: Path) -> None:
    async with made(tmp_path) as house:
        await house.records.stopped()
        await house.checkpoints.close()
        assert house.of(Kind.CHECKPOINT)[-1].extra["size"] == 2
        assert on_disk(house.state)[0].kind is Kind.STOP


def test_the_witness_of_these_tests_checks_what_it_signs() -> None:
    assert Witness().verifier == Verifier("witness.example", COSIGNATURE, Witness().verifier.public)
    assert verify_consistency((1, b"a" * 32), (1, b"a" * 32), [])
