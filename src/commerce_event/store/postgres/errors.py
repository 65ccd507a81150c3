"""Translate errors of the driver and the server to the port's errors."""

from typing import Final

import asyncpg

from commerce_event.store.port import StoreBrokenError, StoreError, StoreUnavailableError

AGAIN: Final = (  # nothing happened: simply do it once more
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,  # the operator's lock_timeout
    asyncpg.InvalidCachedStatementError,  # a newer node has just changed the schema
)

_BUSY: Final = (*AGAIN, asyncpg.TransactionRollbackError, asyncpg.ObjectInUseError)

_UNREACHABLE: Final = (
    OSError,  # time-outs too
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidTransactionStateError,  # a transaction that was idle or took too long was ended
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database accepts no connections
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled by the operator
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

POOLED: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_FAILING: Final = (asyncpg.PostgresSystemError, asyncpg.InternalServerError, asyncpg.SnapshotTooOldError)
_GONE: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


# The first that fits, in this order.
_UNAVAILABLE: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (asyncpg.DiskFullError, "the database server's disk is full; free some space and it goes on by itself"),
    (asyncpg.ReadOnlySQLTransactionError, "the database server takes no writes now; name the primary in --store"),
    (asyncpg.InsufficientResourcesError, "the database server has no room for this now; it goes on by itself"),
    (_BUSY, "the database was too busy with the same rows; try again"),
    (asyncpg.QueryCanceledError, "the database took too long over this and gave it up; try again"),
    (_UNREACHABLE, "the database cannot be reached now; it goes on by itself once that is back"),
    (asyncpg.InsufficientPrivilegeError, "the database user lost a right that is needed; grant it and it goes on"),
    (POOLED, "a pooler shares this connection with others; let --store name PostgreSQL itself"),
    (_GONE, "a table of the store is missing now; if it stays so, restore the database from a backup"),
    (_FAILING, "the database server failed over this; look into its log"),
)


def translate(error: BaseException) -> BaseException:
    """Return the port's error for a driver's or the server's error; others pass unchanged."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return StoreBrokenError(f"the database is damaged ({error}); stop, check the server's disk, restore")
    for kinds, message in _UNAVAILABLE:
        if isinstance(error, kinds):
            return StoreUnavailableError(message)
    return error
