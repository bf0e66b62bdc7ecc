"""Makes checkpoints: every so many records, every so many seconds, at stop and when asked; sends and records them.

Out of band: no call waits for one. Where one can't be kept that is a warning and a signal, and the next is tried.
"""

import base64
import logging

import anyio
import anyio.to_thread

from gateway.checkpoints.keepers import KeeperError, keep, witness
from gateway.clock import Sleeper
from gateway.config import Keeper, Recording
from gateway.core.merkle import Tree
from gateway.core.model import Kind, Record
from gateway.core.note import Checkpoint
from gateway.core.record import decode
from gateway.errors import RecordError
from gateway.ids import ENTRY, new_id
from gateway.ports import Records
from gateway.store import Query, Store

CLOSING = 5.0  # seconds that the last checkpoint may take
PATIENCE = 5.0  # seconds before the next try when nothing can be recorded
REMEMBERED = 1_000  # earlier checkpoints that are looked through for a witness

log = logging.getLogger("wardgate")


class Checkpoints:
    """The checkpoints of one store, signed with the key of `seed`."""

    def __init__(self, store: Store, records: Records, clock: Sleeper, how: Recording, seed: bytes) -> None:
        self._store, self._records, self._clock, self._how, self._seed = store, records, clock, how, seed
        self.origin = how.origin or f"wardgate/{store.gateway_id}"
        self._end = 0  # up to this row everything is covered, or is a checkpoint itself
        self._introduced = False  # the record names the key
        self._making = anyio.Lock()
        self._failing: set[Keeper] = set()
        self._witnessed: dict[str, Tree] = {}

    async def run(self) -> None:
        """Make checkpoints as they are due, until cancelled."""
        while True:
            await self._store.beyond(self._end)
            await self._due()
            try:
                await self.make()
            except RecordError as problem:
                log.warning("no checkpoint could be recorded: %s", problem)
                await self._clock.sleep(PATIENCE)

    async def close(self) -> None:
        """The last checkpoint, over all that is there, within a deadline."""
        with anyio.move_on_after(CLOSING, shield=True):
            try:
                await self.make()
            except RecordError as problem:
                log.warning("the last checkpoint could not be recorded: %s", problem)

    async def make(self) -> str:
        """Make, send and record a checkpoint over what is durable now; returns the note.

        Raises `RecordError` if it can't be recorded; one that could not be sent somewhere is recorded all the same.
        """
        async with self._making:
            if not self._introduced:
                await self._introduce()
            tree = self._store.tree
            note = await anyio.to_thread.run_sync(self._signed, tree)
            witnessed: list[str] = []
            for keeper in self._how.checkpoints:
                note = await self._send(keeper, note, tree, witnessed)
            about = {
                "note": note,
                "size": tree.size,
                "root": tree.root().hex(),
                "frontier": base64.b64encode(tree.frontier).decode("ascii"),
                "witnessed": witnessed,
            }
            await self._records.append(Record(Kind.CHECKPOINT, new_id(ENTRY), self._clock.now(), extra=about))
            alone = self._store.size == tree.size + 1
            self._end = tree.size + alone
            return note

    async def _due(self) -> None:
        """Wait until there are enough records that none covers, or the first of them has waited long enough."""
        async with anyio.create_task_group() as waits:

            async def enough() -> None:
                await self._store.beyond(self._end + self._how.checkpoint_rows - 1)
                waits.cancel_scope.cancel()

            waits.start_soon(enough)
            await self._clock.sleep(self._how.checkpoint_every)
            waits.cancel_scope.cancel()

    def _signed(self, tree: Tree) -> str:
        from gateway.signing import sign_note  # imported late, and in a thread: it takes its time

        return sign_note(Checkpoint(self.origin, tree.size, tree.root()).text, self.origin, self._seed)

    async def _send(self, keeper: Keeper, note: str, tree: Tree, witnessed: list[str]) -> str:
        """Send the note to one keeper; returns it with what a witness added."""
        try:
            if keeper.kind == "witness":
                known = self._witnessed.get(keeper.target, Tree())
                note = await witness(keeper.target, note, known, tree, self._beyond, self._earlier)
                self._witnessed[keeper.target] = tree
                witnessed.append(keeper.target)
            else:
                await keep(keeper, note)
        except KeeperError as problem:
            if keeper not in self._failing:
                self._failing.add(keeper)
                log.warning("no checkpoint could be sent to the %s `%s`: %s", keeper.kind, keeper.target, problem)
                about = {"keeper": keeper.kind, "target": keeper.target, "why": str(problem)}
                told = Record(Kind.SIGNAL, new_id(ENTRY), self._clock.now(), detail="checkpoint-failed", extra=about)
                await self._records.append(told)
        else:
            self._failing.discard(keeper)
        return note

    async def _beyond(self, known: Tree, upto: int) -> list[bytes]:
        return list(await self._store.leaves(known.size, upto))

    async def _earlier(self, size: int) -> Tree | None:
        """The tree of an earlier checkpoint over so many records, by the record."""
        for _, body in await self._store.page(Query(filters={"kind": Kind.CHECKPOINT.value}, limit=REMEMBERED)):
            about = decode(body)[1].extra
            if about.get("size") == size:
                return Tree.restore(size, base64.b64decode(about["frontier"]))
        return Tree() if size == 0 else None

    async def _introduce(self) -> None:
        """Record the key that signs, where the record doesn't name it yet."""
        public = await anyio.to_thread.run_sync(self._vkey)
        page = await self._store.page(Query(filters={"kind": Kind.KEY.value}, limit=REMEMBERED))
        named = [decode(body)[1].extra for _, body in page]
        before = next((str(about["key"]) for about in named if about.get("which") == "signing"), "")
        if before != public:
            about = {"which": "signing", "key": public, "before": before, "lost": False}
            await self._records.append(Record(Kind.KEY, new_id(ENTRY), self._clock.now(), extra=about))
        self._introduced = True

    def _vkey(self) -> str:
        from gateway.signing import verifier_of  # imported late, as above

        return str(verifier_of(self.origin, self._seed))
