"""Whether publishing would be accepted now: tried on the store, for all who ask, at most once a second."""

import asyncio
from typing import Final

from commerce_event.store.port import Store, StoreError

_KEPT_S: Final = 1.0  # for how long an answer of the store counts
_WAIT_S: Final = 2.0  # how long a try may take; publishing would wait as long


class Readiness:
    """Tries the store when it is asked. One try at a time, which all callers share."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._try: asyncio.Task[str | None] | None = None
        self._began = 0.0

    async def fault(self) -> str | None:
        """Return why publishing would be refused now, None when it would not."""
        now = asyncio.get_running_loop().time()
        if self._try is None or (self._try.done() and now >= self._began + _KEPT_S):
            self._try, self._began = asyncio.create_task(self._try_store()), now
        await asyncio.wait((self._try,), timeout=max(0.0, self._began + _WAIT_S - now))
        if self._try.done():
            return self._try.result()
        return f"the store took no write for {_WAIT_S:g} s; another program may be holding its lock"

    async def _try_store(self) -> str | None:
        try:
            await self._store.journal.check_writable()
        except StoreError as error:
            return str(error)
        return None
