"""hangard: a storage daemon for versioned tensor data. Layers and their order: README, "Structure"."""

__version__ = "0.1.0"
