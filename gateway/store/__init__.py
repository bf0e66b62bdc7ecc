"""The store: one SQLite file, one write connection, one writer task. Only what is opened here writes the record."""

from gateway.store.batch import Change, Entry
from gateway.store.writer import Limits, Store, open_store

__all__ = ["Change", "Entry", "Limits", "Store", "open_store"]
