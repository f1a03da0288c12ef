"""The slow, obvious twins of HDF5's filters: byte shuffle, LZF decoding, Fletcher-32."""

import numpy as np


def shuffle(data: bytes, item_bytes: int) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, item_bytes).T.tobytes()


def decode_lzf(stream: bytes) -> bytes:
    out = bytearray()
    at = iter(stream)
    for head in at:
        if head < 32:
            out += bytes(next(at) for _ in range(head + 1))
            continue
        length = head >> 5
        if length == 7:
            length += next(at)
        distance = ((head & 31) << 8) + next(at) + 1
        for _ in range(length + 2):
            out.append(out[-distance])
    return bytes(out)


def fletcher32(data: bytes) -> int:
    low = high = 0
    for i in range(0, len(data), 2):
        word = data[i : i + 2] + b"\0"
        low = (low + word[0] * 256 + word[1]) % 65535
        high = (high + low) % 65535
    # Each sum is folded, so that 65535 stands for a multiple of it that is not 0.
    some = any(data)
    return ((high or (65535 if some else 0)) << 16) | (low or (65535 if some else 0))
