"""The store of many nodes: one PostgreSQL database, no leader."""

from commerce_event.store.postgres.engine import PostgresStore

__all__ = ["PostgresStore"]
