"""An exclusive session's lease, as its client holds it: one open connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hangard.wire import requests
from hangard.wire.leases import LeaseEnded, hold_lease
from hangard_client.connection import Connection


class Lease:
    """Held from ``hold`` to ``release``. Belongs to the connection's event loop.

    It ends with this process, too, and by force: then ``on_taken`` is called.
    """

    def __init__(self, connection: Connection, session: str) -> None:
        self.session = session
        self.on_taken: Callable[[], object] = lambda: None
        self._connection = connection
        self._task: asyncio.Task[LeaseEnded] | None = None

    async def hold(self) -> None:
        """Hold it, again if the daemon was restarted.

        Errors: Busy, if another client does; then this one has left the session.
        """
        if self._task is not None and not self._task.done():
            return
        transport = await self._connection.connect()
        held = asyncio.Event()
        task = asyncio.create_task(transport.hold(hold_lease(self.session), held))
        waiting = asyncio.create_task(held.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            try:
                task.result()
            except BaseException:
                # Whoever holds it goes on; this client was attached for nothing.
                await self._connection.send(requests.close_session(self.session, abort=False))
                raise
        self._task = task
        task.add_done_callback(self._ended)

    async def release(self) -> None:
        """May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _ended(self, task: asyncio.Task[LeaseEnded]) -> None:
        if task.cancelled() or task.exception() is not None:
            return  # with its daemon: it is held again before the next request that changes
        if task.result().taken:
            self.on_taken()
