"""The store as a port: what the rooms need of whatever keeps the record. No database here, and no SQL.

An implementation has to pass the contract in `tests/store` (`contract.py`, `contract_tables.py`, `contract_people.py`,
`contract_leaks.py`); one in memory does, beside that of SQLite. Changes and questions have names (`rows.py`,
`people.py` and `leaks.py` make them and read the answers); what each means is said there, how it is done is the
implementation's.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gateway.core.merkle import Tree
from gateway.core.query import Query

Value = str | int | bytes
Body = tuple[int, bytes]  # a sequence number, and the exact bytes that were hashed and stored


class Change(NamedTuple):
    """A change of the tables beside the record; with `must` its operation happens only if it changes something.

    That makes it the compare-and-swap: what it expects stands in its values.
    """

    name: str
    values: tuple[Value, ...]
    must: bool = True


class Entry(NamedTuple):
    """A record, encoded but for its sequence number, and the copies that are searched by.

    `changes` follow from the record itself, and are made in its transaction, behind those of its operation. None of
    them must hit anything: what follows from a record never keeps it from being written.
    """

    encoded: bytes
    columns: tuple[str, ...]
    changes: tuple[Change, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, about."""
        return len(self.encoded)

    def settled(self) -> "Entry":
        """Itself."""
        return self


class LateEntry:
    """An entry that is made after it was handed over: when somebody finds the time, at the latest before it is written.

    `size` is how many bytes it will have, about; `make` must not raise.
    """

    __slots__ = ("_entry", "_make", "size")

    def __init__(self, size: int, make: Callable[[], Entry]) -> None:
        self.size, self._make = size, make
        self._entry: Entry | None = None

    def settled(self) -> Entry:
        """The entry; made by the first who asks."""
        if self._entry is None:
            self._entry = self._make()
        return self._entry


class Ask(NamedTuple):
    """A question about the tables beside the record; the answer is rows of values."""

    name: str
    values: tuple[Value, ...]


class Store(Protocol):
    """An append-only record with a tree over it, and small tables that change together with it."""

    @property
    def gateway_id(self) -> str:
        """The id of the gateway that it belongs to."""

    @property
    def tree(self) -> Tree:
        """The tree over the durable records: size, frontier and root of one moment."""

    @property
    def size(self) -> int:
        """How many records are durable, those that were pruned included."""

    @property
    def broken(self) -> str:
        """Why nothing can be written now; empty while all is well."""

    async def append(self, entries: Sequence[Entry], changes: Sequence[Change] = ()) -> bool:
        """Make entries and changes durable together, all or nothing, and return when they are.

        False, with nothing written, if a change that must hit something hit nothing. Once begun it isn't interrupted by
        cancellation. Raises `BusyError` when too much waits, `RecordError` when they can't be made durable or a key
        that a change needs is taken (an error of this operation alone), `LookupError` for a change that has no meaning.
        """

    def queue(self, entry: Entry | LateEntry) -> None:
        """Hand over an entry that nobody waits for; never dropped. Raises `BusyError` and `RecordError` as `append`."""

    async def flush(self) -> None:
        """Wait until everything handed over so far is durable."""

    async def beyond(self, seq: int) -> int:
        """Wait until the record is longer than `seq`; returns its length."""

    async def tail(self, after: int, limit: int) -> Sequence[Body]:
        """The records behind `after`, oldest first."""

    async def page(self, query: Query) -> Sequence[Body]:
        """The records that a query asks for, newest first."""

    async def by_id(self, wanted: str) -> Sequence[Body]:
        """The records of one id, oldest first."""

    async def leaves(self, after: int, upto: int) -> Sequence[bytes]:
        """The leaf hashes of the records behind `after` up to `upto`, in order."""

    async def ask(self, question: Ask) -> Sequence[tuple[Value, ...]]:
        """The rows that answer a question, as `Change` by its name; `LookupError` for one that has no meaning."""
