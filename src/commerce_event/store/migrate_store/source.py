"""The store to move: an embedded one that no server uses, opened for reading only."""
# ruff: noqa: S608 - SQL put together from our own names of tables and columns

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from commerce_event.core.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS
from commerce_event.core.vault import VaultError
from commerce_event.store.migrate_store.checksum import Checksum, sha256
from commerce_event.store.migrate_store.tables import TABLES, Row, Table
from commerce_event.store.model import EndpointRow
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres.partitions import Week
from commerce_event.store.sqlite import files, registry

_BATCH_BYTES: Final = 16 * 1024**2
_WHOLE: Final = (
    "meta",
    "client",
    "endpoint",
    "endpoint_revision",
    "api_key",
    "replay",
    "delivery_counts",
    "endpoint_health",
    "client_name",
)  # in the fingerprint
_GROWING: Final = ("event", "delivery")


@contextmanager
def open_source(path: Path) -> Iterator["Source"]:
    """Lock a file as a server would, so that none can start on it, and open it for reading only.

    Raises StoreRefusedError for a file that is no store of this version, or is in use.
    """
    if not path.is_file():
        raise StoreRefusedError(f"there is no file {path}; give the store to move with --from sqlite:///FILE")
    files.check_engine()
    lock = files.FileLock(path)
    _take(lock, path)
    try:
        with _refusals(path):
            connection = files.open_reader(path)
            try:
                _check_schema(connection, path)
                yield Source(path, connection)
            finally:
                connection.close(True)
    finally:
        lock.release()


def _take(lock: files.FileLock, path: Path) -> None:
    try:
        lock.take()
    except StoreRefusedError as error:
        raise StoreRefusedError(f"{str(error).partition(';')[0]}; stop that one, then move its store") from None
    except OSError as error:
        raise StoreRefusedError(
            f"{path}.lock cannot be made ({error.strerror}), so a server could start while the store moves; "
            "run this as the user that the server runs as"
        ) from None


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.NotADBError:
        raise StoreRefusedError(f"{path} is not a commerce-event store; name another with --from") from None
    except apsw.CorruptError as error:
        raise StoreRefusedError(f"{path} is damaged ({error}); restore it from a backup") from None
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.BusyError) as error:
        raise StoreRefusedError(f"{path} cannot be read ({error}); check the disk and rights") from None


def _check_schema(connection: apsw.Connection, path: Path) -> None:
    present, newest = int(connection.pragma("user_version")), files.migrations()[-1][0]
    if connection.pragma("application_id") != files.APPLICATION_ID:
        raise StoreRefusedError(f"{path} is not a commerce-event store; name another with --from")
    if present > newest:
        raise StoreRefusedError(
            f"{path} has schema {present}, this version knows {newest}; use the version that made it"
        )
    if present < newest:
        raise StoreRefusedError(
            f"{path} has schema {present}, this version moves {newest}; start and stop a server of this version on it "
            f"once: commerce-event serve --store sqlite:///{path}"
        )


class Source:
    """What an embedded store holds."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self._reader = connection

    def check_secrets(
        self, secret_key: str | None, check_secret_key: Callable[[Sequence[EndpointRow], str], None]
    ) -> None:
        """Raise StoreRefusedError unless a server with this key could open the endpoints' secrets.

        ``check_secret_key`` raises VaultError when the key opens none of the rows.
        """
        rows = registry.endpoints(self._reader)
        if not any(row.sealed for row in rows):
            return
        key_file = self.path.with_name(self.path.name + ".key")
        place = f"the text in {key_file}" if key_file.exists() else "the key that the store was served with"
        if secret_key is None:
            raise StoreRefusedError(
                "the target's servers could not open the endpoints' secrets; set COMMERCE_EVENT_SECRET_KEY, here and "
                f"for them, to {place}"
            )
        try:
            check_secret_key(rows, secret_key)
        except VaultError:
            raise StoreRefusedError(
                "COMMERCE_EVENT_SECRET_KEY does not open the endpoints' secrets; set it, here and for the target's "
                f"servers, to {place}"
            ) from None

    # -- contents

    def fingerprint(self) -> str:
        """Return a hash of the state of this store: every start of a server on it changes the hash."""
        whole = hashlib.sha256()
        for table in TABLES:
            if table.name in _WHOLE:
                whole.update(self.checksum(table).text.encode())
        for name in _GROWING:
            whole.update(repr(next(self._reader.execute(f"SELECT count(*), max(id) FROM {name}"))).encode())
        return whole.hexdigest()

    def count(self, table: Table) -> int:
        return int(self._reader.execute(f"SELECT count(*) FROM {table.source} WHERE {table.where}").get)

    def weeks(self) -> Iterator[Week]:
        """Yield every week that has events, by their ids."""
        next_id = 0
        while (found := self._reader.execute("SELECT min(id) FROM event WHERE id >= ?", (next_id,)).get) is not None:
            week = Week.of((found >> NODE_BITS + COUNTER_BITS) + EPOCH_MS)
            yield week
            next_id = week.next.first_id

    def batches(self, table: Table, after: Row | None, rows_max: int) -> Iterator[list[Row]]:
        """Yield the rows after a key in batches, limited by number and bytes."""
        batch: list[Row] = []
        size = 0
        for row in self._rows(table, tuple(table.columns), after):
            batch.append(row)
            size += sum(len(value) for value in row if isinstance(value, bytes))
            if len(batch) == rows_max or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def checksum(self, table: Table) -> Checksum:
        """Return the checksum of a small table."""
        made = Checksum()
        made.add(self.checked_rows(table))
        return made

    def checked_rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows to compare with the target."""
        for row in self._rows(table, table.checked, None):
            yield tuple(sha256(value) if isinstance(value, bytes) else value for value in row)

    def _rows(self, table: Table, columns: tuple[str, ...], after: Row | None) -> Iterator[Row]:
        keys = ", ".join(table.columns[name] for name in table.key)
        beyond = "" if after is None else f" AND ({keys}) > ({', '.join('?' * len(after))})"
        chosen = ", ".join(table.columns[name] for name in columns)
        sql = f"SELECT {chosen} FROM {table.source} WHERE {table.where}{beyond} ORDER BY {keys}"
        converters: list[Any] = [table.converters.get(name) for name in columns]
        plain = not any(converters)
        for row in self._reader.execute(sql, after or ()):
            yield row if plain else tuple(v if f is None else f(v) for f, v in zip(converters, row, strict=True))
