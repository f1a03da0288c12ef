"""Bytes and buffers: every loop that runs without the GIL. Knows no repository, event loop or HTTP."""
