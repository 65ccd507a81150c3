"""Connect to the server: its address without the password, session settings, and checks of the server."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from commerce_event.store.port import StoreRefusedError, StoreUnavailableError
from commerce_event.store.postgres.errors import POOLED
from commerce_event.store.postgres.sql import Connection, fetch, fetch_value

SCHEMA: Final = "commerce_event"
_SINCE: Final = 140_000
_CONNECT_S: Final = 10.0
_COMMAND_S: Final = 30.0
_CLOSE_S: Final = 5.0
_LOCK_WAIT: Final = "1s"  # far longer than another node holds a lock, unless it hangs
_WORK_POOL_MAX: Final = 6
_READ_POOL_MAX: Final = 4
_HOST: Final = re.compile(r"/.*|local socket|[^:/]+(:\d+)?|\[[^]]+](:\d+)?")
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")

_SETTINGS: Final = {
    "application_name": "commerce-event",
    "search_path": SCHEMA,
    "jit": "off",
    "enable_seqscan": "off",  # statistics lag behind a queue that was empty a moment ago: never trust them with a scan
    "idle_in_transaction_session_timeout": "5s",  # a node that is cut off keeps its locks no longer than that
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
# For statements that must use an index, regardless of the planner's size estimates.
_INDEX_SETTINGS: Final = _SETTINGS | {"enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

_POOLER: Final = (
    "{server} is a connection pooler such as PgBouncer ({reason}), and a node needs direct connections; "
    "name the host and port of PostgreSQL itself in --store"
)
_UNREACHABLE: Final = "{server} cannot be reached; start PostgreSQL there, or check host and port in --store"
_CANNOT_OPEN: Final = "{address} cannot be opened ({reason}); look into the server's log"
# Why a database is refused at the start, by the error. The first that fits, in this order.
_REFUSALS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "{server} did not let {user} in; check user and password in --store",
    ),
    (asyncpg.InvalidCatalogNameError, "{server} has no database {database}; make it with: createdb {database}"),
    (
        asyncpg.InsufficientPrivilegeError,
        "{user} may not do what is needed in {address} ({reason}); run there: "
        'GRANT CREATE, CONNECT ON DATABASE "{database}" TO "{user}"',
    ),
    (asyncpg.CannotConnectNowError, "{server} is starting or stopping; try again in a moment"),
    (
        asyncpg.TooManyConnectionsError,
        "{server} has no connection left; raise max_connections there by 12 for each node",
    ),
    ((*POOLED, asyncpg.ProtocolViolationError), _POOLER),  # such as "unsupported startup parameter"
    (asyncpg.TargetServerAttributeNotMatched, "none of {server} is a primary that takes writes"),
    ((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, StoreUnavailableError), _UNREACHABLE),
)
_OF_OPENING: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.TargetServerAttributeNotMatched,
    StoreUnavailableError,
)

log = structlog.get_logger(__name__)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Address:
    """Where the database is, as the operator wrote it."""

    def __init__(self, url: str) -> None:
        """Raises StoreRefusedError when ``url`` is no address of a PostgreSQL database."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _no_address() from None
        if parts.scheme not in {"postgresql", "postgres"}:
            raise _no_address()
        self.url = url
        self.user = parts.username or "the current user"
        self.database = parts.path.lstrip("/") or parts.username or "the default database"
        hosts = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["local socket"])[0]
        self.server = ",".join(map(_with_port, hosts.split(",")))
        if any(not _HOST.fullmatch(host) for host in hosts.split(",")):
            raise _no_address()
        # Of several hosts, as after a failover, only one takes writes; a single standby is refused with the reason.
        self.fails_over = "," in hosts
        self._wanted: dict[str, Any] = {"target_session_attrs": "primary"} if self.fails_over else {}

    def __str__(self) -> str:
        """The address without user and password."""
        return f"{self.database} on {self.server}"

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            self.url, timeout=_CONNECT_S, command_timeout=_COMMAND_S, server_settings=_INDEX_SETTINGS, **self._wanted
        )

    async def connect_without_timeout(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection for statements over whole tables, which may take long."""
        settings = _SETTINGS | {"enable_seqscan": "on"}
        return await asyncpg.connect(self.url, timeout=_CONNECT_S, server_settings=settings, **self._wanted)

    async def work_pool(self) -> Pool:
        """Return connections for accepting and delivering."""
        return await self._pool(_WORK_POOL_MAX, _INDEX_SETTINGS | {"lock_timeout": _LOCK_WAIT})

    async def read_pool(self) -> Pool:
        """Return connections for reads, so that a slow search delays no delivery."""
        return await self._pool(_READ_POOL_MAX, _SETTINGS)

    async def _pool(self, size: int, settings: dict[str, str]) -> Pool:
        pool: Any = asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=size,
            timeout=_CONNECT_S,
            command_timeout=_COMMAND_S,
            server_settings=settings,
            **self._wanted,
        )
        made: Pool = await pool
        return made

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn errors of opening into StoreRefusedError with the remedy."""
        try:
            yield
        except (asyncpg.ClientConfigurationError, ValueError):
            raise _no_address() from None
        except _OF_OPENING as error:
            sentence = next((text for kinds, text in _REFUSALS if isinstance(error, kinds)), _CANNOT_OPEN)
            raise self._refuse(sentence, str(error).partition("\n")[0]) from None

    def _refuse(self, sentence: str, reason: str) -> StoreRefusedError:
        return StoreRefusedError(
            sentence.format(address=self, server=self.server, database=self.database, user=self.user, reason=reason)
        )

    async def check_session(self, connection: Connection) -> None:
        """Raise StoreRefusedError unless the settings that were asked for are in force: some poolers drop them."""
        if await fetch_value(connection, "setting", "search_path") != SCHEMA:
            raise self._refuse(_POOLER, "it dropped the settings of a session")

    async def check_sessions(self, one: Connection, other: Connection) -> None:
        """Raise StoreRefusedError if two open connections share a session of the server."""
        if await fetch_value(one, "backend") == await fetch_value(other, "backend"):
            raise self._refuse(_POOLER, "two connections share a session")


async def close(connections: "Pool | asyncpg.Connection[asyncpg.Record]") -> None:
    """Close a connection or a pool: properly, or at once when the server does not answer."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await connections.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connections.terminate()


def _with_port(host: str) -> str:
    return host if host.startswith("/") or host == "local socket" or re.search(r":\d+$", host) else f"{host}:5432"


def _no_address() -> StoreRefusedError:
    return StoreRefusedError(
        "this is no address of a PostgreSQL database; write --store postgresql://user:password@host:5432/database"
    )


async def check_server(connection: Connection, address: Address) -> str:
    """Return the version; StoreRefusedError for a server that is too old or would lose acknowledged events."""
    await address.check_session(connection)
    [server] = await fetch(connection, "server")
    version, encoding = server.version, server.encoding
    if server.version_number < _SINCE:
        raise StoreRefusedError(f"{address.server} runs PostgreSQL {version}; 14 or newer is needed")
    if server.is_standby:
        raise StoreRefusedError(f"{address.server} is a standby that takes no writes; name the primary in --store")
    if encoding != "UTF8":
        raise StoreRefusedError(
            f"{address} has encoding {encoding}; make one with: createdb --encoding=UTF8 --template=template0"
        )
    await durability(connection)
    if address.fails_over and not await _survives_failover(connection):
        log.warning(
            "a failover would lose what was acknowledged last: no standby has it yet when it is acknowledged",
            remedy="set synchronous_standby_names, and synchronous_commit to on",
        )
    return str(version).split(" ", maxsplit=1)[0]


async def _survives_failover(connection: Connection) -> bool:
    names = await fetch_value(connection, "setting", "synchronous_standby_names")
    return bool(names) and await fetch_value(connection, "setting", "synchronous_commit") != "local"


async def durability(connection: Connection) -> str:
    """Return the durability in force; StoreRefusedError when an acknowledged event could be lost with the power."""
    values = {name: await fetch_value(connection, "setting", name) for name in _DURABLE}
    for name, value in values.items():
        if value == "off":
            raise StoreRefusedError(
                f"the store would not be durable ({name} = off); run there: ALTER SYSTEM SET {name} = on; "
                "SELECT pg_reload_conf(), and look for the same setting of the database and the user"
            )
    return ", ".join(f"{name}={value}" for name, value in values.items())
