"""The embedded store: one SQLite file, one writer, full durability."""

from commerce_event.store.sqlite.engine import SqliteStore

__all__ = ["SqliteStore"]
