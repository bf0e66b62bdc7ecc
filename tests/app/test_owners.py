"""Owners are told what is due: on the record first, once a day each, and of nothing that is not theirs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.app.owners import OwnerCommands
from gateway.control import Refusal
from gateway.core.model import Kind, Record
from gateway.core.record import decode
from gateway.errors import StateError
from tests.app.test_consent import Room
from tests.app.test_locking import READ, SEND
from tests.store.memory import Memory, MemoryStore, open_memory

pytestmark = pytest.mark.may_block(reason="the test itself reads and writes files")

POLICY = 'upstream = "files"\nowner = "bob@corp.dev"\nreview_by = 2026-12-01\n[lists]\nteam = ["*@corp.dev"]\n'


@dataclass
class Owned:
    """A gateway whose owners can be told, and who was."""

    room: Room
    memory: Memory
    store: MemoryStore
    told: list[tuple[Record, str]] = field(default_factory=list)

    def tell_owner(self, signal: Record, owner: str) -> None:
        self.told.append((signal, owner))

    async def ask(self, **fields: Any) -> dict[str, tuple[bool, int]]:
        """Who was told of how much."""
        answer = await OwnerCommands(self.room.gateway).tell({"due": 30, "unused": 90, **fields}, "ada")
        return {row["owner"]: (row["told"], row["count"]) for row in answer["items"]}

    async def recorded(self) -> list[Record]:
        return [decode(body)[1] for _, body in await self.store.tail(0, 99)]


def furnished(folder: Path) -> Room:
    """A gateway with a policy that is to be reviewed."""
    folder.chmod(0o700)
    room, policy = Room(folder), folder / "policies" / "files.toml"
    policy.write_text(POLICY, encoding="utf-8")
    policy.chmod(0o600)
    return room


@pytest.fixture
async def owned(tmp_path: Path) -> AsyncIterator[Owned]:
    room, memory = furnished(tmp_path), Memory()
    room.place.lists(READ)
    await room.place.accept()
    room.place.lists(READ, SEND)
    async with open_memory(memory, 99) as store:
        made = Owned(room, memory, store)
        room.gateway.store, room.gateway.notices = store, made
        notify = replace(room.gateway.settings.notify, to=("mailtos://gate@mail.corp.dev",))
        room.gateway.settings = replace(room.gateway.settings, notify=notify)
        yield made


async def test_each_owner_is_told_once_a_day_of_what_is_theirs(owned: Owned) -> None:
    assert await owned.ask() == {"alice@example.com": (False, 1), "bob@corp.dev": (True, 2)}  # hers is a placeholder
    assert [owner for _, owner in owned.told] == ["alice@example.com", "bob@corp.dev"]
    assert [signal.extra["what"] for signal, _ in owned.told] == [
        [["files/send", "new"]],
        [["team", "to be reviewed by 2026-12-01"], ["policies/files.toml", "to be reviewed by 2026-12-01"]],
    ]
    rows = await owned.recorded()
    assert rows == [signal for signal, _ in owned.told]
    assert {(row.kind, row.detail, row.principal) for row in rows} == {(Kind.SIGNAL, "permissions-due", "os:ada")}
    assert await owned.ask() == {"alice@example.com": (False, 1), "bob@corp.dev": (False, 2)}
    assert await owned.ask(force=True, owner="BOB") == {"bob@corp.dev": (True, 2)}
    owned.room.gateway.clock.advance(86_400)
    assert await owned.ask(due=0, owner="alice") == {"alice@example.com": (False, 1)}
    assert len(owned.told) == 4
    owned.room.gateway.clock.advance(-86_400 * 9)  # a clock that was wrong silences nobody for long
    assert await owned.ask(due=99, owner="bob") == {"bob@corp.dev": (True, 2)}


async def test_what_can_not_be_recorded_is_told_nobody(owned: Owned) -> None:
    owned.memory.failing = "no disk"
    with pytest.raises(Refusal) as refused:
        await owned.ask()
    assert (refused.value.code, owned.told) == (3, [])
    owned.memory.failing = ""
    assert (await owned.ask())["bob@corp.dev"] == (True, 2)


async def test_a_record_or_a_configuration_that_can_not_be_read_is_a_refusal(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise StateError("the record can't be read")

    monkeypatch.setattr("gateway.inventory.take", broken)
    with pytest.raises(Refusal, match="can't be read"):
        await owned.ask()


@pytest.mark.parametrize("days", [None, "3", True, -1, 4_000, 2.5])
@pytest.mark.parametrize("name", ["due", "unused"])
async def test_days_are_a_number_within_bounds(owned: Owned, name: str, days: object) -> None:
    with pytest.raises(Refusal) as refused:
        await owned.ask(**{name: days})
    assert (refused.value.code, owned.told) == (2, [])
