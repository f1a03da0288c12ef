"""Slow twin of the prolly tree: nodes, cuts and whole trees as plain Python.

An entry is (encoded key, digest, count); the count of a sample is 1.
"""

import struct

import blake3
from reference import treekey

MASK = 2**64 - 1
ZERO = bytes(32)
NODE_BYTES_MAX = 8192
FORCE_BYTES = NODE_BYTES_MAX - 8 - 556


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def entry_hash(level, key):
    state = mix(((level + 1) * 0x9E3779B97F4A7C15 + len(key)) & MASK)
    for i in range(0, len(key), 8):
        state = mix(state ^ int.from_bytes(key[i : i + 8], "little"))
    return state


def entry_bytes(level, key):
    return len(key) + (42 if level else 34)


def wants_cut(level, key):
    """Whether the hash asks for a cut; the minimum and the hard maximum come on top."""
    size = entry_bytes(level, key)
    return (entry_hash(level, key) >> 32) * (1024 + size) < size << 32


def shared(keys):
    first, last = keys[0], keys[-1]
    p = 0
    while p < min(len(first), len(last)) and first[p] == last[p]:
        p += 1
    return p


def encode_node(level, entries):
    keys = [key for key, _, _ in entries]
    p = shared(keys)
    suffixes = [key[p:] for key in keys]
    _, ends = treekey.pack(suffixes)
    return b"".join(
        [
            struct.pack("<BBHHH", 1, level, len(entries), p, 0),
            *(struct.pack("<Q", count) for _, _, count in entries if level),
            *(struct.pack("<H", end) for end in ends),
            *(digest for _, digest, _ in entries),
            keys[0][:p],
            *suffixes,
        ]
    )


def cut(level, entries):
    """Entries of a level -> list of the nodes' entries."""
    nodes, node, size = [], [], 0
    for entry in entries:
        node.append(entry)
        size += entry_bytes(level, entry[0])
        if size >= 1024 and (size > FORCE_BYTES or wants_cut(level, entry[0])):
            nodes.append(node)
            node, size = [], 0
    return [*nodes, node] if node else nodes


def digest_of(node):
    return blake3.blake3(node, derive_key_context="hangard node v1").digest()


def build(samples):
    """{encoded key: digest} -> (root, {digest: node})."""
    nodes = {}
    entries = [(key, digest, 1) for key, digest in sorted(samples.items())]
    level = 0
    while level == 0 or len(entries) > 1:
        above = []
        for group in cut(level, entries):
            node = encode_node(level, group)
            nodes[digest_of(node)] = node
            above.append((group[-1][0], digest_of(node), sum(count for _, _, count in group)))
        if not above:
            return ZERO, {}
        entries, level = above, level + 1
    return entries[0][1], nodes


class MemoryStore:
    """A node store in a dict, which counts what is read."""

    def __init__(self):
        self.nodes = {}
        self.reads = 0

    def get(self, digest):
        self.reads += 1
        return self.nodes[digest]

    def put_many(self, digests, blob, ends):
        self.nodes.update(
            zip(map(bytes, digests), treekey.unpack(blob, ends), strict=True),
        )
