"""Hangar's face: a Hangar script runs after changing its import.

::

    from hangard_client.hangar import Repository

    repo = Repository("faces")
    repo.init("Ada", "ada@example.org")
    co = repo.checkout(write=True)
    faces = co.add_ndarray_column("faces", prototype=image)
    faces["ada"] = image
    co.commit("first faces")
    co.close()

Names, arguments, return types and error types are Hangar's (0.5, and the older spellings
``co.arraysets.init_arrayset`` and ``change_default_backend``); what does the work is the native
client. There is one staging area, the exclusive session `default`, which the command line shares:
what is staged survives its process. One writer at a time holds it. ``with checkout:`` batches
writes and does not close. The first branch is ``master``.
"""

from __future__ import annotations

from hangard import __version__
from hangard_client.hangar.repository import Repository

__all__ = ["Repository", "__version__"]
