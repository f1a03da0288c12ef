"""Whether everything that is stored is as it was written."""

from __future__ import annotations

import hangard_client
from hangard.errors import Corrupt
from hangard_client.hangar.errors import as_builtin


def verify(repo: hangard_client.Repository) -> bool:
    """True. Errors: Corrupt (a RuntimeError) naming the first finding and their number."""
    found = repo.verify()
    if not found.findings:
        return True
    first = found.findings[0]
    more = f"; {len(found.findings) - 1} more" if len(found.findings) > 1 else ""
    raise as_builtin(Corrupt(f"{first}{more}", code="verification-failed"), RuntimeError)
