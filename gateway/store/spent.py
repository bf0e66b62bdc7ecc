"""What is used of budgets: the change that takes more of one, and questions about it.

As `rows.py`: changes to make and questions to ask, by name with their values; it decides nothing, and knows no SQL.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.core.model import Spend
from gateway.core.record import stamp, unstamp
from gateway.store.port import Ask, Change, Store, Value
from gateway.store.rows import text_of


class Spent(NamedTuple):
    """What is used of a budget in one scope, in millionths of its unit, and when that was last more."""

    budget: str
    scope: str
    used: int
    at: datetime


def spend(one: Spend, now: datetime) -> Change:
    """Take from a budget; nothing changes if more than `most` would be used."""
    since = stamp(one.since) if one.since is not None else ""
    return Change(
        "budget.spend",
        (one.budget, one.scope, one.amount, stamp(now), one.amount, one.most, since, since, one.most),
    )


async def latest_spent(store: Store, most: int) -> Sequence[Spent]:
    """What is used of budgets, what was used last at the end."""
    return [_spent(row) for row in reversed(await store.ask(Ask("spent.latest", (most,))))]


async def spent_on(store: Store, budget: str, scope: str) -> Spent | None:
    """What is used of one budget in one scope; None: nothing."""
    found = await store.ask(Ask("spent.of", (budget, scope)))
    return _spent(found[0]) if found else None


def _spent(row: tuple[Value, ...]) -> Spent:
    budget, scope, used, at = row
    return Spent(text_of(budget), text_of(scope), int(used), unstamp(text_of(at)))
