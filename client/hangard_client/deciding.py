"""A callback strategy's answers, as the daemon takes them."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import iscoroutinefunction

from hangard.model.keys import encode_key
from hangard.tree.columns import COLUMN_ITSELF
from hangard.wire.messages import Choice
from hangard_client.clashes import Clash, Decide
from hangard_client.commit_arguments import checked_side
from hangard_client.connection import in_thread


async def decide_all(decide: Decide, clashes: Iterable[Clash]) -> tuple[Choice, ...]:
    """Ask about each. A plain function is called in a thread, so that it may use the client, too.

    Errors: as checked_side; those of ``decide``.
    """
    if iscoroutinefunction(decide):
        return tuple([_choice(clash, await decide(clash)) for clash in clashes])
    return await in_thread(lambda: tuple(_choice(clash, decide(clash)) for clash in clashes))


def _choice(clash: Clash, side: object) -> Choice:
    where = f"strategy= for {clash.column}[{clash.key!r}]"
    key = COLUMN_ITSELF if clash.key is None else encode_key(clash.key)
    return Choice(clash.column, key, checked_side(side, where), with_keys=False)
