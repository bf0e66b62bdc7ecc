"""Tell the owners of policy files that their review is due: 30 and 7 days before, once each, on the record first.

Out of band: no call ever waits for it, and it decides nothing.
"""

import logging
from collections.abc import Callable

from gateway import ids
from gateway.clock import Sleeper
from gateway.core.model import Kind, Record
from gateway.core.policy import Policy
from gateway.core.record import columns, encode, stamp
from gateway.core.review import SIGNAL, Due, due
from gateway.errors import RecordError
from gateway.store import Entry, Store, rows

LOOK = 3_600.0  # seconds between two looks

log = logging.getLogger("wardgate.reviews")


class Reviews:
    """Looks at the policy in force every hour; `tell` hears of what is due, by its record and the owner's name."""

    def __init__(
        self, store: Store, clock: Sleeper, policy: Callable[[], Policy], tell: Callable[[Record, str], None]
    ) -> None:
        self._store, self._clock, self._policy, self._tell = store, clock, policy, tell

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """One look. What can't be recorded is told by a later one."""
        policy = self._policy()
        try:
            for one in due(policy.files, self._clock.now().date()):
                if not await rows.get_meta(self._store, one.key):
                    await self._note(one, policy.revision)
        except RecordError as problem:
            log.warning("what is to be reviewed can't be recorded now: %s", problem)

    async def _note(self, one: Due, revision: str) -> None:
        told = Record(
            kind=Kind.SIGNAL,
            id=ids.new_id(ids.ENTRY),
            at=self._clock.now(),
            detail=SIGNAL,
            policy_revision=revision,
            extra={
                "file": one.file,
                "owner": one.owner,
                "review_by": one.review_by.isoformat(),
                "days": one.days,
                "explanation": f"`{one.file}` is to be reviewed by {one.review_by}: "
                "after that day its allows above tier read ask",
            },
        )
        # INVARIANT: it is told once: the mark stands in the transaction of the record.
        await self._store.append((Entry(encode(told), columns(told)),), (rows.set_meta(one.key, stamp(told.at)),))
        self._tell(told, one.owner)
