"""What every implementation of `port.Store` has to keep, sixth part: what is used of budgets, as `spent.py` names it.

It knows no SQL and no table, only what the functions of `spent.py` say.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
from msgspec.structs import replace

from gateway.core.limits import MOST, UNLIMITED
from gateway.core.model import Spend
from gateway.store import rows, spent
from gateway.store.port import Store
from tests.fakes import NOON
from tests.store.contract import MINUTE, Contract, speaks_of
from tests.store.keep import an_entry

ONE = Spend("mail.daily", "day\n2026-11-22", 1, 3)


class SpentContract(Contract):
    """Nobody takes more of a budget than it has, whoever else takes of it at the same time."""

    @speaks_of("budget.spend", "spent.of")
    async def test_no_more_is_taken_than_there_is(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            assert await spent.spent_on(store, ONE.budget, ONE.scope) is None
            taken: list[bool] = []

            async def take() -> None:
                taken.append(await store.append((an_entry(1),), (spent.spend(ONE, NOON),)))

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(take)
            assert sorted(taken) == [False, False, True, True, True]
            assert store.size == 3
            assert await spent.spent_on(store, ONE.budget, ONE.scope) == (ONE.budget, ONE.scope, 3, NOON)

    @speaks_of("budget.spend", "spent.of")
    async def test_budgets_and_scopes_are_apart_and_an_operation_takes_all_or_nothing(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            other, elsewhere = replace(ONE, budget="mail.sum", amount=4), replace(ONE, scope="day\n2026-11-23")
            changes = [spent.spend(one, NOON) for one in (ONE, elsewhere, other)]
            assert not await store.append((), changes)
            assert await spent.spent_on(store, ONE.budget, ONE.scope) is None
            assert await store.append((), changes[:2])
            assert await spent.spent_on(store, other.budget, other.scope) is None

    @speaks_of("budget.spend", "spent.of")
    async def test_what_is_let_go_beyond_a_budget_is_counted_and_stays_a_number(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            large = replace(ONE, amount=MOST, most=UNLIMITED)
            for number in range(6):
                assert await store.append((), (spent.spend(large, NOON + number * MINUTE),))
            assert not await store.append((), (spent.spend(ONE, NOON),))
            found = await spent.spent_on(store, ONE.budget, ONE.scope)
            assert found is not None
            assert (found.used, found.at) == (2 * MOST, NOON + 5 * MINUTE)

    @speaks_of("budget.spend", "spent.of")
    async def test_what_was_used_before_a_time_counts_no_more(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            full = replace(ONE, amount=3)
            assert await store.append((), (spent.spend(full, NOON),))
            assert not await store.append((), (spent.spend(replace(full, since=NOON), NOON + MINUTE),))
            assert await store.append((), (spent.spend(replace(full, since=NOON + MINUTE), NOON + MINUTE),))
            assert await spent.spent_on(store, ONE.budget, ONE.scope) == (ONE.budget, ONE.scope, 3, NOON + MINUTE)

    @speaks_of("spent.latest", "spent.tidy", "budget.spend")
    async def test_what_was_used_last_is_found_and_what_is_old_goes(
        self, place: Callable[[], AbstractAsyncContextManager[Store]]
    ) -> None:
        async with place() as store:
            for number in range(3):
                one = replace(ONE, scope=f"day\n{number}")
                assert await store.append((), (spent.spend(one, NOON + number * MINUTE),))
            assert [one.scope for one in await spent.latest_spent(store, 2)] == ["day\n1", "day\n2"]
            await store.append((), rows.tidy(NOON + MINUTE))
            assert [one.scope for one in await spent.latest_spent(store, 9)] == ["day\n1", "day\n2"]
