"""``hangard import COLUMN PATH``: samples from files that people have."""
