"""BLAKE3 and CRC32C, slow and obvious: recursion over the tree, one bit at a time."""

from __future__ import annotations

IV = (
    0x6A09E667,
    0xBB67AE85,
    0x3C6EF372,
    0xA54FF53A,
    0x510E527F,
    0x9B05688C,
    0x1F83D9AB,
    0x5BE0CD19,
)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
KEYED_HASH, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 16, 32, 64
WORD = 0xFFFFFFFF


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def bytes_of(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


def rotate(word: int, right: int) -> int:
    return (word >> right | word << (32 - right)) & WORD


def quarter_round(v: list[int], a: int, b: int, c: int, d: int, x: int, y: int) -> None:
    for message, first, second in ((x, 16, 12), (y, 8, 7)):
        v[a] = (v[a] + v[b] + message) & WORD
        v[d] = rotate(v[d] ^ v[a], first)
        v[c] = (v[c] + v[d]) & WORD
        v[b] = rotate(v[b] ^ v[c], second)


def compress(cv: list[int], block: bytes, counter: int, flags: int) -> list[int]:
    """The first eight words of the compression of one block of at most 64 bytes."""
    m = words_of(block.ljust(64, b"\0"))
    v = [*cv, *IV[:4], counter & WORD, counter >> 32, len(block), flags]
    for _ in range(7):
        quarter_round(v, 0, 4, 8, 12, m[0], m[1])
        quarter_round(v, 1, 5, 9, 13, m[2], m[3])
        quarter_round(v, 2, 6, 10, 14, m[4], m[5])
        quarter_round(v, 3, 7, 11, 15, m[6], m[7])
        quarter_round(v, 0, 5, 10, 15, m[8], m[9])
        quarter_round(v, 1, 6, 11, 12, m[10], m[11])
        quarter_round(v, 2, 7, 8, 13, m[12], m[13])
        quarter_round(v, 3, 4, 9, 14, m[14], m[15])
        m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def chaining_value(
    key: list[int], data: bytes, counter: int, flags: int, root: int = 0
) -> list[int]:
    """The chaining value of the subtree over data, whose first chunk has this number."""
    if len(data) <= 1024:
        cv = key
        blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
        for i, block in enumerate(blocks):
            start = CHUNK_START if i == 0 else 0
            end = CHUNK_END | root if i == len(blocks) - 1 else 0
            cv = compress(cv, block, counter, flags | start | end)
        return cv
    chunks = -(-len(data) // 1024)
    left = 1 << (chunks - 1).bit_length() - 1
    cut = left * 1024
    children = chaining_value(key, data[:cut], counter, flags) + chaining_value(
        key, data[cut:], counter + left, flags
    )
    return compress(key, bytes_of(children), 0, flags | PARENT | root)


def digest(payload: bytes) -> bytes:
    return bytes_of(chaining_value(list(IV), payload, 0, 0, ROOT))


def digest_keyed(key: bytes, payload: bytes) -> bytes:
    return bytes_of(chaining_value(words_of(key), payload, 0, KEYED_HASH, ROOT))


def digest_derived(context: str, payload: bytes) -> bytes:
    key = chaining_value(list(IV), context.encode(), 0, DERIVE_KEY_CONTEXT, ROOT)
    return bytes_of(chaining_value(key, payload, 0, DERIVE_KEY_MATERIAL, ROOT))


def crc32c(payload: bytes, value: int = 0) -> int:
    value ^= WORD
    for byte in payload:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ WORD
