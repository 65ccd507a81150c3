"""Release the claims of runs that ended: their attempts are recorded as interrupted, their deliveries are due now."""

import asyncio
from collections.abc import Sequence

from commerce_event.store.model import INTERRUPTED
from commerce_event.store.postgres.locks import run_key
from commerce_event.store.postgres.run_lock import live_run_keys
from commerce_event.store.postgres.sql import Connection, fetch_column, fetch_value


class Takeover:
    """Watches the locks of runs that have claims."""

    def __init__(self, *, lost_after_s: float) -> None:
        """A run whose lock has been missing for ``lost_after_s`` is lost."""
        self._lost_after_s = lost_after_s
        self._missing_since: dict[int, float] = {}  # by run, in the event loop's time

    def reset(self) -> None:
        """Forget which locks were missing: this node was cut off itself, and the others may have been too."""
        self._missing_since.clear()

    async def release_lost_runs(self, connection: Connection, *, own_run_id: int, now_ms: int) -> bool:
        """Release the claims of lost runs; tell whether any delivery became due."""
        claiming = set(await fetch_column(connection, "claiming_runs")) - {own_run_id}
        if not claiming:
            self._missing_since.clear()
            return False
        live = await live_run_keys(connection)  # read later: a run that claimed was alive then
        now_s = asyncio.get_running_loop().time()
        self._missing_since = {
            run_id: self._missing_since.get(run_id, now_s) for run_id in claiming if run_key(run_id) not in live
        }
        lost = sorted(
            run_id for run_id, since_s in self._missing_since.items() if now_s - since_s >= self._lost_after_s
        )
        return bool(lost) and await release_runs(connection, lost, now_ms)


async def release_runs(connection: Connection, run_ids: Sequence[int], now_ms: int) -> bool:
    """Release the claims of these runs; tell whether there were any."""
    return bool(await fetch_value(connection, "release_runs", run_ids, now_ms, INTERRUPTED))
