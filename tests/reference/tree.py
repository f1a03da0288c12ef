"""What trees hold, as a dict, and pools of keys that provoke their cuts."""

from functools import cache

from reference import treekey, treenode


def digest(value):
    """A digest that stands for a small number."""
    return b"v" + value.to_bytes(31, "big")


def changes_of(changes):
    """{encoded key: digest or None} -> packed sorted changes; None deletes."""
    return treekey.changes_of(
        (key, value or treenode.ZERO) for key, value in sorted(changes.items())
    )


def apply(samples, changes):
    """The dict after the changes."""
    merged = {**samples, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def difference(a, b):
    """[(key, in a or None, in b or None)] of two dicts."""
    keys = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    return [(key, a.get(key), b.get(key)) for key in keys]


def three_way(base, ours, theirs):
    """(changes of theirs to apply, [(key, base, ours, theirs)] of conflicts)."""
    changes, conflicts = {}, []
    for key, was, becomes in difference(base, theirs):
        if ours.get(key) == was:
            changes[key] = becomes
        elif ours.get(key) != becomes:
            conflicts.append((key, was, ours.get(key), becomes))
    return changes, conflicts


@cache
def pool(kind):
    """Encoded keys, ascending, of one kind.

    ints    dense
    names   text of ordinary length
    long    two entries or more a node, so that a few hundred make four levels
    quiet   never cut by their hash at the leaves: every cut is forced at the hard maximum
    mixed   quiet ones with stretches of others between
    """
    if kind == "ints":
        return [treekey.encode_key(k) for k in range(3000)]
    if kind == "names":
        return sorted(treekey.encode_key(f"train/{k:05d}.png") for k in range(2000))
    if kind == "long":
        return sorted(treekey.encode_key((f"{k:04d}" + "x" * 240, "y" * 250)) for k in range(400))
    everything = [treekey.encode_key(k) for k in range(1000, 6000)]
    quiet = [key for key in everything if not treenode.wants_cut(0, key)]
    if kind == "quiet":
        return quiet[:3000]
    return sorted({*quiet[:1400], *everything[2000:2200], *quiet[2300:3400]})
