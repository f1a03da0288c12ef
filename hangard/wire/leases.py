"""Messages and requests about the exclusive lease: one session at a time, one client of it."""

from __future__ import annotations

from typing import Final

import msgspec

from hangard.wire import protocol
from hangard.wire.messages import Done, Name, SessionInfo
from hangard.wire.requests import Request, message_request

LEASE_HOLDER: Final = "/leases/holder"
LEASE_TAKE: Final = "/leases/take"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Hold an exclusive session for as long as this request's connection is open."""

    session: Name


class LeaseEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of the answer, which comes when the lease ends before its connection does.

    ``taken``  somebody released it by force: who held it must not go on
    """

    taken: bool = False


class LeaseHolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The session that is held exclusively, or None."""

    session: SessionInfo | None = None


def hold_lease(session: str) -> Request[LeaseEnded]:
    """The answer's headers come when the lease is held, its body when the lease ends."""
    return message_request(
        protocol.SESSION_LEASE, Lease(session=session), LeaseEnded, timeout_s=0.0
    )


def find_holder() -> Request[LeaseHolder]:
    return message_request(LEASE_HOLDER, Done(), LeaseHolder)


def take_lease() -> Request[LeaseHolder]:
    """End the lease whoever holds it; the answer tells who did."""
    return message_request(LEASE_TAKE, Done(), LeaseHolder, idempotent=False)
