"""Model to bytes and back: the only place that knows byte order."""
