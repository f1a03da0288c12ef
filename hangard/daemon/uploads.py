"""Rows too large for one request: they come in pieces into one private buffer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hangard.daemon.bodies import new_buffer
from hangard.daemon.memory import Memory, Reservation
from hangard.errors import Busy, InvalidRequest
from hangard.limits import SAMPLE_BYTES_MAX
from hangard.wire.messages import PieceRequest

UPLOADS_MAX = 64
UPLOAD_IDLE_S_MAX = 60.0  # an upload whose client stopped sending gives its memory back


@dataclass(slots=True)
class Upload:
    """A buffer that fills; ``filled_bytes`` of it are there."""

    buffer: memoryview
    reservation: Reservation
    filled_bytes: int = 0
    used_s: float = 0.0


class Uploads:
    """Uploads by session and number. Used on the event loop only."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._uploads: dict[tuple[str, int], Upload] = {}

    def __len__(self) -> int:
        return len(self._uploads)

    async def open_piece(self, piece: PieceRequest) -> memoryview | None:
        """Where a piece's bytes belong; None if they came before.

        Errors: InvalidRequest (``invalid-piece``), Busy (``upload-limit``, ``memory-limit``).
        """
        key = piece.session, piece.upload
        end = piece.offset + piece.length
        if end > piece.total_bytes:
            raise InvalidRequest("a piece reaches beyond its upload", code="invalid-piece")
        upload = self._uploads.get(key)
        if upload is None:
            upload = await self._begin(key, piece)
        if len(upload.buffer) != piece.total_bytes or piece.offset > upload.filled_bytes:
            raise InvalidRequest(
                f"a piece at byte {piece.offset} of {piece.total_bytes} does not follow the"
                f" {upload.filled_bytes} of {len(upload.buffer)} that are here",
                code="invalid-piece",
            )
        upload.used_s = time.monotonic()
        if end <= upload.filled_bytes:
            return None
        return upload.buffer[piece.offset : end]

    def fill(self, piece: PieceRequest) -> None:
        """A piece's bytes are where ``open_piece`` said."""
        upload = self._uploads.get((piece.session, piece.upload))
        if upload is not None:
            upload.filled_bytes = max(upload.filled_bytes, piece.offset + piece.length)

    def take(self, session: str, number: int, length: int) -> tuple[memoryview, Reservation]:
        """A finished upload; its memory is the caller's now.

        Errors: InvalidRequest (``unknown-upload``, ``invalid-piece``).
        """
        upload = self._uploads.get((session, number))
        if upload is None:
            raise InvalidRequest(f"there is no upload {number}", code="unknown-upload")
        if upload.filled_bytes != len(upload.buffer) or len(upload.buffer) != length:
            raise InvalidRequest(
                f"upload {number} holds {upload.filled_bytes} of {length} bytes",
                code="invalid-piece",
            )
        del self._uploads[session, number]
        return upload.buffer, upload.reservation

    def drop(self, session: str, number: int) -> None:
        upload = self._uploads.pop((session, number), None)
        if upload is not None:
            upload.reservation.release()

    def drop_session(self, session: str) -> None:
        for owner, number in list(self._uploads):
            if owner == session:
                self.drop(owner, number)

    def drop_idle(self, idle_s: float = UPLOAD_IDLE_S_MAX) -> None:
        """Give up what no piece came for."""
        limit = time.monotonic() - idle_s
        for (session, number), upload in list(self._uploads.items()):
            if upload.used_s < limit:
                self.drop(session, number)

    async def _begin(self, key: tuple[str, int], piece: PieceRequest) -> Upload:
        if piece.offset or not 0 < piece.total_bytes <= SAMPLE_BYTES_MAX:
            raise InvalidRequest(
                f"no upload of {piece.total_bytes} bytes can begin at byte {piece.offset}",
                code="invalid-piece",
            )
        self.drop_idle()
        if len(self._uploads) >= UPLOADS_MAX:
            raise Busy(f"{UPLOADS_MAX} uploads are under way", code="upload-limit")
        reservation = await self._memory.reserve(piece.total_bytes)
        buffer = new_buffer(piece.total_bytes)
        upload = Upload(buffer, reservation, used_s=time.monotonic())
        other = self._uploads.setdefault(key, upload)
        if other is not upload:
            reservation.release()
        return other
