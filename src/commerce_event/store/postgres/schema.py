"""Apply schema migrations, once, however many nodes start together."""

from commerce_event.store import sql_files
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres.connections import SCHEMA, Address
from commerce_event.store.postgres.locks import MAINTENANCE, MIGRATION
from commerce_event.store.postgres.sql import Connection


def migrations() -> list[tuple[int, str]]:
    """Return every migration as (schema version, SQL), in order."""
    return sql_files.migrations(__package__)


async def migrate(connection: Connection, address: Address) -> int:
    """Migrate the schema to this version in one transaction, one node at a time; return the version.

    Raises StoreRefusedError for tables of another program, or made by a newer version.
    """
    steps = migrations()
    newest = steps[-1][0]
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", MAINTENANCE, MIGRATION)
        present = await _present(connection, address)
        if present > newest:
            raise StoreRefusedError(
                f"this node is too old: {address} has schema {present}, this version knows {newest}; "
                "install the version that the other nodes run"
            )
        for version, sql in steps:
            if version > present:
                await connection.execute(sql)
                await connection.execute("INSERT INTO schema_version VALUES ($1)", version)
    return newest


async def _present(connection: Connection, address: Address) -> int:
    """Return the version found, 0 for a new schema."""
    if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", SCHEMA):
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.schema_version"):
        strange = "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace($1))"
        if await connection.fetchval(strange, SCHEMA):
            raise StoreRefusedError(
                f"the schema {SCHEMA} in {address} holds tables of another program; give another database"
            )
        await connection.execute("CREATE TABLE schema_version (version integer PRIMARY KEY)")
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version"))
