"""Merges of plain dicts over plain histories: slow, obvious, and the oracle of the real ones.

A history is {number: (parents, samples)}; numbers rise from parents to children. Samples are
{key: value}. Absent is None.
"""

from itertools import product


def ancestors(history, start):
    """All that a commit reaches, itself included."""
    found, waiting = set(), [start]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += history[number][0]
    return found


def best_common(history, ours, theirs):
    """The common ancestors of two sets that no other common one descends from, ascending."""
    reached = [
        set().union(*(ancestors(history, start) for start in side)) for side in (ours, theirs)
    ]
    common = reached[0] & reached[1]
    behind = set()
    for number in common:
        behind |= ancestors(history, number) - {number}
    return sorted(common - behind)


def base_samples(history, ours, theirs):
    """What a merge of two sets of commits begins from, markers for what is undecided."""
    bases = best_common(history, ours, theirs)
    if not bases:
        return {}
    merged = dict(history[bases[0]][1])
    for i, other in enumerate(bases[1:], 1):
        inner = base_samples(history, bases[:i], [other])
        after, conflicts = three_way(inner, merged, history[other][1])
        for key, (_, mine, yours) in conflicts.items():
            after[key] = ("undecided", frozenset([mine, yours]))
        merged = after
    return merged


def three_way(base, ours, theirs):
    """(ours with the changes of theirs, {key: (base, ours, theirs)} of conflicts)."""
    result, conflicts = dict(ours), {}
    for key in base.keys() | ours.keys() | theirs.keys():
        was, mine, yours = base.get(key), ours.get(key), theirs.get(key)
        if mine == yours or yours == was:
            continue
        if mine != was:
            conflicts[key] = (was, mine, yours)
        elif yours is None:
            result.pop(key, None)
        else:
            result[key] = yours
    return result, conflicts


def kind(was, mine, yours):
    """Hangar's name of a conflict."""
    for present, name in zip(
        product([False, True], repeat=3),
        (None, None, None, "t1", None, "t21", "t22", "t3"),
        strict=True,
    ):
        if present == (was is not None, mine is not None, yours is not None):
            return name
    return None
