"""Bytes and buffers: every loop without the GIL. Knows no repository, event loop or HTTP."""
