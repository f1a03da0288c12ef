"""Every bound that more than one module uses, with its unit as the last word of its name but for
``max``.

A queue, cache, body or pool that is not bounded here is bounded by a constant beside it.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Samples and requests
SAMPLE_BYTES_MAX = 1 * GIB
KEY_TEXT_BYTES_MAX = 255
SHAPE_DIMENSIONS_MAX = 31  # as Hangar; numpy allows 64
COLUMNS_PER_TREE_MAX = 4096
MESSAGE_BYTES_MAX = 64 * KIB  # a commit message
METADATA_BYTES_MAX = 256 * KIB  # a commit's metadata, encoded
REQUEST_KEYS_MAX = 1_000_000  # keys of one change request
REQUEST_CHANGES_MAX = 2 * COLUMNS_PER_TREE_MAX  # puts and deletions of every column
REQUEST_HEADER_BYTES_MAX = 1 * MIB
REQUEST_BODY_BYTES_MAX = 64 * MIB
PIECE_BYTES_MAX = 8 * MIB  # a row above it travels in pieces
PIECE_BODY_BYTES_MAX = PIECE_BYTES_MAX + REQUEST_HEADER_BYTES_MAX

# Memory of the daemon
MEMORY_BYTES_MAX = 512 * MIB  # request bodies, private copies and windows together
# Against 1 MiB, 60,000 samples of 784 bytes take the client half as much CPU time (18 ms, not 34)
# and the daemon a tenth less: fewer requests, larger appends (bench/bench_ingest.py).
WINDOW_BYTES = 4 * MIB
WINDOWS_PER_CLIENT_MAX = 2
CACHE_BYTES_MAX = 64 * MIB  # nodes and locations in one reader

# Files
LOG_ROWS_BYTES_MAX = 256 * KIB  # a flush below it goes to the log
LOG_BYTES_MAX = 256 * MIB
SEGMENT_BYTES_MAX = 1 * GIB
SEGMENTS_OPEN_MAX = 32  # open for writing
MAPPED_FILES_MAX = 512  # mapped by one reader
INDEX_SMALL_ENTRIES_MAX = 4096  # a commit of no more goes to LMDB, above it a run is written
INDEX_RECENT_ENTRIES_MAX = 262_144  # entries kept in LMDB before they become a run
INDEX_FRESH_ENTRIES_MAX = 1_048_576  # entries in memory only before a checkpoint is due

# LMDB
LMDB_MAP_BYTES = 256 * GIB
LMDB_READERS_MAX = 4096
LMDB_GROUP_OPERATIONS_MAX = 256  # operations in one transaction
REFLOG_ENTRIES_MAX = 100_000
COMMANDS_KEPT_MAX = 10_000  # commit command ids remembered

# Sessions
SESSIONS_MAX = 256
STAGED_BYTES_MAX = MEMORY_BYTES_MAX  # keys and digests that one session has staged
STAGED_TOTAL_BYTES_MAX = 2 * MEMORY_BYTES_MAX  # of all sessions together
JOURNAL_BYTES_MAX = 64 * MIB  # a commit that consumed so much begins a new journal
SESSION_AGE_S_MAX = 14 * 24 * 3600
CONFLICT_KEYS_MAX = 1000  # keys listed in a Conflict; the total is given beside them
