"""LMDB for writing: the environment, its lock, and the one thread that commits."""
