"""Read-only: LMDB snapshots, mapped files, locations, specs to arrays. Daemon and client use it."""
