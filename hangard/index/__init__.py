"""The index: from digest to spec, in memory while new, in run files when settled.

Knows no database: it gives and takes plain values, and its caller writes them into transactions.
"""

from hangard.index.index import Index, Pending

__all__ = ["Index", "Pending"]
