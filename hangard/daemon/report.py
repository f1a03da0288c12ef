"""What a starting daemon tells the client that started it: one JSON value in a pipe."""

from __future__ import annotations

import contextlib
import os

import msgspec

from hangard.errors import HangardError
from hangard.wire.endpoint import Endpoint
from hangard.wire.messages import ErrorMessage


class Report:
    """Written once, then closed. ``descriptor`` None: nobody asked for it."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self, endpoint: Endpoint) -> None:
        self._write(msgspec.json.encode(endpoint))

    def failed(self, error: HangardError) -> None:
        self._write(msgspec.json.encode(ErrorMessage.of(error), enc_hook=repr))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, content: bytes) -> None:
        if self._descriptor is not None:
            # A client that gave up waiting must not stop the daemon.
            with contextlib.suppress(OSError):
                os.write(self._descriptor, content)
            self.close()
