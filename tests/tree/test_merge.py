import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import tree as model
from reference import treekey as twin_keys
from reference import treenode as twin

from hangard.tree.build import build
from hangard.tree.edit import edit
from hangard.tree.merge import three_way
from hangard.tree.store import EMPTY_ROOT

VALUES = [None, *map(model.digest, (1, 2, 3))]


def check(base, ours, theirs):
    store = twin.MemoryStore()
    roots = [build(store, *model.changes_of(side)) for side in (base, ours, theirs)]
    changes, conflicts = model.three_way(base, ours, theirs)
    result = three_way(store, *roots, conflicts_max=5)
    assert result.changes[0] == model.changes_of(changes)[0]
    assert twin_keys.pairs_of(*result.changes) == twin_keys.pairs_of(*model.changes_of(changes))
    assert result.conflict_count == len(conflicts)
    found = [(c.key, c.base, c.ours, c.theirs) for c in result.conflicts]
    assert found == conflicts[:5]
    ours_first = edit(store, roots[1], *result.changes)
    assert ours_first == build(store, *model.changes_of(model.apply(ours, changes)))
    # with the conflicting changes applied too, theirs wins
    settled = model.apply(model.apply(ours, changes), {key: last for key, *_, last in conflicts})
    assert edit(store, ours_first, *result.conflicting) == build(store, *model.changes_of(settled))


@pytest.mark.parametrize("kind", ["ints", "long", "quiet"])
def test_three_way_equals_the_model_for_every_case_of_one_key(kind):
    keys = model.pool(kind)
    cases = [(b, o, t) for b in VALUES for o in VALUES for t in VALUES]
    for seed in range(4):
        rng = random.Random(seed)
        base, ours, theirs = ({key: model.digest(9) for key in keys[::2]} for _ in range(3))
        for key, case in zip(rng.sample(keys, len(cases)), cases, strict=True):
            for side, value in zip((base, ours, theirs), case, strict=True):
                side.pop(key, None)
                if value:
                    side[key] = value
        check(base, ours, theirs)


sides = st.dictionaries(st.integers(0, 60), st.sampled_from(VALUES))


@settings(max_examples=60, deadline=None)
@given(sides, sides, sides)
def test_three_way_equals_the_model_on_small_trees(base, ours, theirs):
    keys = model.pool("ints")
    check(
        *({keys[k]: value for k, value in side.items() if value} for side in (base, ours, theirs))
    )


def test_equal_sides_and_untouched_sides_have_nothing_to_do():
    store = twin.MemoryStore()
    one, two = (
        build(store, *model.changes_of(dict.fromkeys(keys, model.digest(1))))
        for keys in (model.pool("ints")[:500], model.pool("ints"))
    )
    for base, ours, theirs in ((one, two, two), (one, two, one), (EMPTY_ROOT, one, one)):
        result = three_way(store, base, ours, theirs)
        assert len(result.changes[1]) == result.conflict_count == 0
        assert result.conflicts == ()
    assert edit(store, one, *three_way(store, one, one, two).changes) == two
