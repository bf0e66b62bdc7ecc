"""The store: the record and the tables beside it, behind `port.Store`. Only what is opened here writes the record."""

from gateway.core.query import Query
from gateway.store.port import Ask, Change, Entry, LateEntry, Store
from gateway.store.writer import Limits, SqliteStore, open_store

__all__ = ["Ask", "Change", "Entry", "LateEntry", "Limits", "Query", "SqliteStore", "Store", "open_store"]
