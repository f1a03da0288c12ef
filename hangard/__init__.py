"""hangard: a storage daemon for versioned tensor data."""

__version__ = "0.1.0"
