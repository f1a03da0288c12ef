"""Several columns of a write checkout at once, for asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from hangard.errors import InvalidType, UnknownKey
from hangard_client.access import MISSING, Columns, Plan, is_list
from hangard_client.async_columns import many_of
from hangard_client.reopening import refuse_pickling
from hangard_client.sender import Sender
from hangard_client.staging import Staging


class AsyncWriteAccess(Columns):
    """What AsyncWriteCheckout does with its columns together."""

    _staging: Staging
    _sender: Sender

    async def get(self, item: Any, default: Any = None, except_missing: bool = False) -> Any:
        """What stands between a checkout's brackets (hangard_client.access); ``default`` where a
        column, sample or subsample is not there, unless ``except_missing``."""
        if not isinstance(item, str) and is_list(item):
            return await self._read_list(item, default, except_missing)
        return (await self._read_list([item], default, except_missing))[0]

    async def put_many(self, samples: Mapping[str, Any]) -> None:
        """Stage samples of several columns, all of them or none: ``{name: (keys, batch)}`` as a
        column's ``put_many`` takes them, or ``{name: mapping}`` as its ``update`` does.

        Nothing is sent unless all is legal, and nothing staged unless all was stored. When this
        returns it survives a crash of the daemon.
        Errors: UnknownColumn; as ``put_many`` of a column.
        """
        if not isinstance(samples, Mapping):
            raise InvalidType(
                f"give a mapping from columns to (keys, batch), not {type(samples).__name__}",
                code="not-a-mapping",
            )
        batches = []
        for name, given in samples.items():
            column = self._column(name)
            batches.append((column._buffer, *column._checked(*many_of(column, given))))
        self._staging.put_together(batches)
        await self._sender.flush()

    async def _read_list(
        self, items: Iterable[Any], default: Any, except_missing: bool
    ) -> list[Any]:
        columns = {name: self._column(name) for name in self}
        plan = Plan(items, {name: column.contains_subsamples for name, column in columns.items()})
        results = [MISSING] * len(plan.items)
        for name, (_, keys) in plan.whole.items():
            plan.fill(results, name, await columns[name].find_many(keys, MISSING))
        for i, name, rest in plan.others:
            if name in columns:
                with contextlib.suppress(UnknownKey):
                    column = columns[name]
                    results[i] = column if rest is MISSING else await column.at(rest)
        return plan.finish(results, default, except_missing)

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse_pickling(self)
