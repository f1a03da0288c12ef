"""What a checkout and everything it handed out share: whether it is open, and open blocks."""

from __future__ import annotations

from collections.abc import Callable

from hangard.errors import Closed
from hangard_client.hangar.errors import refusal


class Scope:
    """Lives as long as a checkout; objects of a closed one refuse everything."""

    def __init__(self) -> None:
        self._ended = ""

    def check(self) -> None:
        """Errors: Closed, a PermissionError."""
        if self._ended:
            raise Closed(self._ended, code="checkout-closed")

    def end(self, why: str = "the checkout is closed; open another") -> None:
        self._ended = why


class WriteScope(Scope):
    """Of a write checkout. Outside of all blocks each write is sent at once, so that it survives
    the process; within ``with checkout:`` or ``with column:`` they travel together.

    ``flush`` sends what is buffered.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        super().__init__()
        self._flush = flush
        self._blocks = 0

    @property
    def in_block(self) -> bool:
        return self._blocks > 0

    def enter(self) -> None:
        self.check()
        self._blocks += 1

    def leave(self) -> None:
        self._blocks -= 1
        self.written()

    def written(self) -> None:
        """Something was staged."""
        if not self._blocks and not self._ended:
            self._flush()

    def refuse_in_block(self, what: str, builtin: type[Exception] = PermissionError) -> None:
        """Errors: InvalidRequest (``block-open``) that is a ``builtin``; Closed."""
        self.check()
        if self._blocks:
            raise refusal(builtin, f"{what} is not possible within a with block", "block-open")
