"""Reviews that are due: on the record once each, and told their owners then."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from gateway.core.model import Kind, Record
from gateway.core.record import decode
from gateway.reviews import LOOK, Reviews
from gateway.store import Store
from tests.core.cases import policy_of
from tests.fakes import DEADLINE, FakeClock
from tests.store.memory import Memory, open_memory

SOON = "review_by = 2026-12-20\n"  # 28 days ahead


@dataclass
class Heard:
    """Who was told of what."""

    said: list[tuple[str, str, int]] = field(default_factory=list)

    def __call__(self, signal: Record, owner: str) -> None:
        self.said.append((str(signal.extra["file"]), owner, int(signal.extra["days"])))


def reviews(store: Store, heard: Heard, clock: FakeClock, text: str = SOON) -> Reviews:
    policy: Callable[[], object] = lambda: policy_of(text)  # noqa: E731 - a policy that a reload would exchange
    return Reviews(store, clock, policy, heard)  # type: ignore[arg-type]  # the same


async def recorded(store: Store) -> list[tuple[str, str]]:
    rows = [decode(body)[1] for _, body in await store.tail(0, 99)]
    assert all(row.kind is Kind.SIGNAL for row in rows)
    return [(row.detail, str(row.extra["review_by"])) for row in rows]


async def test_each_stage_is_told_once_on_the_record_first_and_a_restart_tells_nothing_again() -> None:
    clock, heard = FakeClock(), Heard()
    async with open_memory(Memory(), 99) as store:
        for _ in range(2):
            await reviews(store, heard, clock).look()
        assert heard.said == [("policies/p0.toml", "it@corp.example", 28)]
        assert await recorded(store) == [("review-due", "2026-12-20")]
        clock.advance(21 * 86_400)
        for _ in range(2):
            await reviews(store, heard, clock).look()
        assert [days for _, _, days in heard.said] == [28, 7]
        await reviews(store, heard, clock, SOON.replace("12-20", "12-21")).look()  # another day, and another review
        assert len(await recorded(store)) == 3


async def test_what_can_not_be_recorded_is_told_nobody_until_it_can() -> None:
    memory, heard = Memory(), Heard()
    async with open_memory(memory, 99) as store:
        room = reviews(store, heard, FakeClock())
        memory.failing = "no disk"
        await room.look()
        assert heard.said == []
        memory.failing = ""
        await room.look()
        assert len(heard.said) == 1


async def test_it_looks_again_every_hour() -> None:
    clock, heard = FakeClock(), Heard()
    text = "review_by = 2026-12-23\n"  # 31 days ahead, and twelve hours
    async with open_memory(Memory(), 99) as store:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reviews(store, heard, clock, text).run)
                for _ in range(13):
                    await clock.asleep(1)
                    clock.advance(LOOK)
                await clock.asleep(1)
                tasks.cancel_scope.cancel()
        assert [days for _, _, days in heard.said] == [30]
