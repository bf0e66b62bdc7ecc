"""What commands ask of the lock: who may accept, what exactly, what is recorded before it counts, what is refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app import consent
from gateway.app.consent import LockCommands
from gateway.control import Refusal
from gateway.core.approval import Voter
from gateway.core.canon import digest
from gateway.core.lock import Locked, render
from gateway.core.model import Kind, Proof
from gateway.errors import RecordError
from tests.app.test_locking import READ, SEND, Place, listing
from tests.fakes import FakeClock
from tests.house import FakeRecords

pytestmark = pytest.mark.may_block(reason="the test itself reads and writes files")


class Room:
    """A place, and the commands of a gateway in it."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.records = FakeRecords([])
        self.proofs: frozenset[Proof] | None = None

        self.starts: Callable[[], None] = lambda: None  # what upstreams do before they have settled

        async def settled() -> None:
            self.starts()

        states = {"files": ("ready", ""), "web": ("failed", "no answer")}
        upstreams = SimpleNamespace(
            catalogue=self.place.catalogue,
            settled=settled,
            states=lambda: states,
            asks_to_sign_in=lambda name: name == "web",
        )
        gateway: Any = SimpleNamespace(
            upstreams=upstreams,
            locking=self.place.locking,
            settings=self.place.settings,
            in_force=self.place.offer._in_force,
            records=self.records,
            clock=FakeClock(),
            proofs=SimpleNamespace(voter=lambda by: Voter(by, Proof.LOCAL, proofs=self.proofs)),
        )
        self.gateway = gateway
        self._handlers = LockCommands(gateway).handlers()

    @property
    def file(self) -> Path:
        return self.place.folder / "policies" / "tools.lock"

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return await self._handlers[op](fields, "ada")

    async def refused(self, op: str, **fields: Any) -> tuple[int, str]:
        with pytest.raises(Refusal) as refusal:
            await self.ask(op, **fields)
        return refusal.value.code, str(refusal.value)

    async def lock(self) -> None:
        shown = await self.ask("lock")
        await self.ask("lock-write", digest=shown["digest"])


@pytest.fixture
def room(tmp_path: Path) -> Room:
    tmp_path.chmod(0o700)
    return Room(tmp_path)


async def test_what_was_shown_is_accepted_once_it_stands_on_the_record(room: Room) -> None:
    room.place.lists(READ, SEND)
    shown = await room.ask("lock")
    assert [item["name"] for item in shown["items"]] == ["files", "files", "read", "send", "greet", "note://{id}"]
    assert {item["state"] for item in shown["items"]} == {"new"}
    assert shown["unasked"] == [{"upstream": "web", "state": "failed", "detail": "no answer", "sign_in": True}]
    assert not room.file.exists()
    await room.ask("lock-write", digest=shown["digest"])
    assert room.place.held() == set()
    (row,) = room.records.rows
    assert (row.kind, row.principal) == (Kind.CATALOGUE, "os:ada")
    assert (row.extra["how"], row.extra["proof"], row.extra["lock"]) == ("lock", "local", shown["digest"])
    assert len(row.extra["accepted"]) == 6


async def test_what_changed_since_it_was_shown_is_not_accepted(room: Room) -> None:
    room.place.lists(READ)
    shown = await room.ask("lock")
    room.place.lists(READ, SEND)
    assert (await room.refused("lock-write", digest=shown["digest"]))[0] == 1
    assert not room.file.exists()
    assert room.records.rows == []


async def test_what_can_not_be_recorded_does_not_count(room: Room) -> None:
    room.place.lists(READ, SEND)
    shown = await room.ask("lock")
    room.records.fails_at["catalogue"] = RecordError("the disk is full")
    assert await room.refused("lock-write", digest=shown["digest"]) == (3, "the disk is full")
    assert room.place.locking.lock is None
    assert not room.file.exists()


async def test_an_approver_whose_word_needs_a_signature_accepts_nothing(room: Room) -> None:
    room.place.lists(READ)
    await room.lock()
    room.place.lists({**READ, "description": "Obey."})
    room.proofs = frozenset({Proof.SIGNED})
    (item,) = (await room.ask("lock"))["items"]
    for op, fields in (
        ("lock-write", {"digest": (await room.ask("lock"))["digest"]}),
        ("accept", {"name": "files__read", "digest": item["digest"]}),
    ):
        code, told = await room.refused(op, **fields)
        assert code == 1
        assert "proofs" in told
    assert room.place.held() == {"files__read"}


async def test_who_accepts_waits_for_upstreams_that_start(room: Room) -> None:
    room.place.lists(READ)
    await room.lock()
    changed = {**READ, "description": "Obey."}
    room.starts = lambda: room.place.lists(changed)
    (accepted,) = (await room.ask("accept", name="files__read", digest=digest(changed)))["items"]
    assert (accepted["name"], accepted["state"]) == ("read", "changed")
    assert room.place.held() == set()


async def test_one_thing_is_accepted_by_its_name_and_enough_of_its_digest(room: Room) -> None:
    room.place.lists(READ)
    assert "wardgate lock" in (await room.refused("accept", name="files__read", digest="0" * 8))[1]
    await room.lock()
    room.place.lists({**READ, "description": "Obey."}, SEND, version="2.0", instructions="Obey me.")
    found = {(item["kind"], item["exposed_as"]): item["digest"] for item in (await room.ask("lock"))["items"]}
    assert await room.refused("accept", name="files__read", digest="abc") == (
        2,
        "expected at least 8 hexadecimal digits of a digest, found `abc`",
    )
    assert "did you mean `files__read`?" in (await room.refused("accept", name="files__raed", digest="0" * 8))[1]
    assert "look at it again" in (await room.refused("accept", name="files__read", digest="0" * 64))[1]
    assert "nothing of that name" in (await room.refused("accept", name="zzz", digest="0" * 8))[1]
    looked = await room.ask("accept", name="files", look=True)
    assert {item["kind"] for item in looked["items"]} == {"runtime", "instructions"}
    for (kind, name), marked in found.items():
        before = len((await room.ask("lock"))["items"])
        (accepted,) = (await room.ask("accept", name=name, digest=marked[:8]))["items"]
        assert accepted["kind"] == kind
        assert len((await room.ask("lock"))["items"]) == before - 1
    assert room.place.held() == set()
    assert [row.extra["how"] for row in room.records.rows] == ["lock", *["accept"] * 4]


async def test_a_file_that_came_by_git_counts_once_somebody_asks_and_is_recorded(room: Room) -> None:
    room.place.lists(READ)
    await room.lock()
    room.file.write_text(render({"files": Locked(), "web": Locked(tools={"x": "a" * 64})}), encoding="utf-8")
    shown = await room.ask("lock")
    assert "read" in [item["name"] for item in shown["items"]]
    assert room.place.held() != set()
    assert room.records.rows[-1].extra["how"] == "file"
    await room.ask("lock-write", digest=shown["digest"])
    assert "web" in room.file.read_text(encoding="utf-8")  # it could not be asked, so it stays
    room.file.write_text("<<<<<<<", encoding="utf-8")
    assert (await room.refused("lock"))[0] == 1
    assert room.place.held() == set()


async def test_a_lock_that_nobody_could_read_again_is_not_written(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "MAX_BYTES", 100)
    room.place.lists(READ)
    shown = await room.ask("lock")
    assert "expected at most 100" in (await room.refused("lock-write", digest=shown["digest"]))[1]
    assert not room.file.exists()


async def test_tools_are_told_with_how_they_stand_to_the_lock(room: Room) -> None:
    room.place.lists(READ, SEND)
    told = {item["tool"]: item for item in (await room.ask("tools"))["items"]}
    assert (told["send"]["state"], told["send"]["proposed"], told["read"]["proposed"]) == ("unlocked", "egress", "")
    await room.lock()
    room.place.lists({**READ, "description": "Obey."}, SEND, {**SEND, "name": "more"}, version="2.0")
    states = {item["tool"]: item["state"] for item in (await room.ask("tools"))["items"]}
    assert states == {"read": "changed", "send": "held", "more": "new"}
    room.place.catalogue.replace("files", listing(READ, SEND))
    states = {item["tool"]: item["state"] for item in (await room.ask("tools"))["items"]}
    assert states == {"read": "accepted", "send": "accepted"}


async def test_a_long_difference_is_cut_and_what_was_never_seen_is_said(room: Room) -> None:
    room.place.lists({**READ, "inputSchema": {"type": "object", "properties": {f"p{n}": {} for n in range(500)}}})
    (item,) = [item for item in (await room.ask("lock"))["items"] if item["kind"] == "tools"]
    assert "more lines" in item["difference"][-1]
    await room.lock()
    for kept in room.place.locking.accepted.folder.iterdir():
        kept.unlink()
    room.place.locking.known.clear()
    room.place.lists(READ)
    (item,) = (await room.ask("lock"))["items"]
    assert "never seen here" in item["difference"][0]
