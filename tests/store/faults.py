"""Ways in which a store fails while it runs, and how it is mended again."""

import os
import sqlite3

from gateway.store import SqliteStore


async def tell(store: SqliteStore, statement: str) -> None:
    """Change a setting of the write connection."""
    await store._writer.run(lambda db: db.execute(statement).fetchall())


class Locked:
    """Another process that holds the write lock."""

    reason = "another process has locked it"

    async def __call__(self, store: SqliteStore) -> None:
        self.other = sqlite3.connect(store.folder.store, isolation_level=None)
        self.other.execute("BEGIN IMMEDIATE")

    async def mend(self, store: SqliteStore) -> None:
        self.other.close()


class Full:
    """A disk without room for one more page."""

    reason = "the disk is full"

    async def __call__(self, store: SqliteStore) -> None:
        pages = await store.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await tell(store, f"PRAGMA max_page_count={pages}")

    async def mend(self, store: SqliteStore) -> None:
        await tell(store, "PRAGMA max_page_count=1000000")


class ReadOnly:
    """A store that can't be written."""

    reason = "it is read-only"

    async def __call__(self, store: SqliteStore) -> None:
        await tell(store, "PRAGMA query_only=1")

    async def mend(self, store: SqliteStore) -> None:
        await tell(store, "PRAGMA query_only=0")


class Moved:
    """A file that is taken away."""

    reason = "deleted"

    async def __call__(self, store: SqliteStore) -> None:
        os.rename(store.folder.store, store.folder.path / "away")

    async def mend(self, store: SqliteStore) -> None:
        os.rename(store.folder.path / "away", store.folder.store)


class Swapped:
    """Another file in the place of ours."""

    reason = "replaced"

    async def __call__(self, store: SqliteStore) -> None:
        self.content = store.folder.store.read_bytes()
        os.rename(store.folder.store, store.folder.path / "away")
        store.folder.store.write_bytes(self.content)

    async def mend(self, store: SqliteStore) -> None:
        os.rename(store.folder.path / "away", store.folder.store)


class LogGone:
    """The write-ahead log is deleted: what is written there would be lost."""

    reason = "deleted"

    async def __call__(self, store: SqliteStore) -> None:
        os.rename(f"{store.folder.store}-wal", store.folder.path / "away")

    async def mend(self, store: SqliteStore) -> None:
        os.rename(store.folder.path / "away", f"{store.folder.store}-wal")


FAULTS = [Locked, Full, ReadOnly, Moved, Swapped, LogGone]
