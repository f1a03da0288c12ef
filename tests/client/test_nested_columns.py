import numpy as np
import pytest

from hangard.errors import (
    Closed,
    InvalidRequest,
    InvalidType,
    UnknownColumn,
    UnknownKey,
)


def clip(number):
    return np.full((2, 3), number, np.int32)


@pytest.fixture
def clips(repo, branch):
    """A branch with a nested column: "a" has left, right and 3, 5 has 0 .. 9, "z" has one."""
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column(
            "clips", shape=(2, 3), dtype="i4", contains_subsamples=True, backend="numpy"
        )
        column["a"] = {"left": clip(1), "right": clip(2), 3: clip(3)}
        column[5] = [(i, clip(50 + i)) for i in range(10)]
        column["z", "one"] = clip(7)
        co.commit("clips")
    return branch


def check_reading(co):
    column = co["clips"]
    assert column.contains_subsamples
    assert column.schema.layout == "nested"
    assert len(column) == column.count() == 3
    assert column.num_subsamples == column.count_subsamples() == 14
    assert list(column) == list(column.keys()) == [5, "a", "z"]
    assert "a" in column
    assert "b" not in column
    assert ("a", "left") in column
    assert ("a", "up") not in column
    assert ("b", "left") not in column
    # one sample
    a = column["a"]
    assert (a.sample, a.column) == ("a", "clips")
    assert len(a) == 3
    assert list(a) == list(a.keys()) == [3, "left", "right"]
    assert "left" in a
    assert "up" not in a
    assert (a["right"] == clip(2)).all()
    assert (a["right", 1:, :2] == clip(2)[1:, :2]).all()
    assert a.get("up") is None
    assert a.get("up", 8) == 8
    assert [int(x[0, 0]) for x in a.values()] == [3, 1, 2]
    assert [(k, int(x[0, 0])) for k, x in a.items()] == [(3, 3), ("left", 1), ("right", 2)]
    assert a.data.keys() == a[...].keys() == {3, "left", "right"}
    assert (a.data["left"] == clip(1)).all()
    assert list(a[1:3]) == ["left", "right"]
    assert list(a[::-1]) == ["right", "left", 3]
    assert (a.get_many(["right", 3]) == np.stack([clip(2), clip(3)])).all()
    # through the column
    assert (column["a", "left"] == clip(1)).all()
    assert (column["a", "left", 0, 1:] == clip(1)[0, 1:]).all()
    assert column["a", ...].keys() == {3, "left", "right"}
    assert list(column[5, 2:4]) == [2, 3]
    assert (column[5, 2:4][3] == clip(53)).all()
    assert (column.get(("a", "left")) == clip(1)).all()
    assert column.get("nobody") is None
    assert column.get(("a", "up"), 4) == 4
    assert len(column.get(5)) == 10
    expected = np.stack([clip(52), clip(1), clip(7)])
    assert (column.get_many([(5, 2), ("a", "left"), ("z", "one")]) == expected).all()
    assert (column.get_many((5, range(10)))[:, 0, 0] == np.arange(50, 60)).all()
    two = (["a", "z"], ["left", "one"])
    assert (column.get_many(two) == np.stack([clip(1), clip(7)])).all()
    numbers = np.array([5, 5]), np.array([1, 0])
    assert (column.get_many(numbers)[:, 0, 0] == [51, 50]).all()
    assert column.find_many([("a", "up"), (5, 1)], None)[0] is None
    # in order
    assert [(s, len(subs)) for s, subs in column.items()] == [(5, 10), ("a", 3), ("z", 1)]
    assert [subs.sample for subs in column.values()] == [5, "a", "z"]
    pairs = [pair for pair, _ in column.subsample_items()]
    of_a = [("a", 3), ("a", "left"), ("a", "right")]
    assert pairs == [*((5, i) for i in range(10)), *of_a, ("z", "one")]
    for missing in ("b", ("a", "up"), ("b", ...), ("b", "left")):
        with pytest.raises(UnknownKey):
            column[missing]


def test_a_nested_column_is_read_in_every_way(repo, clips):
    with repo.checkout(clips) as co:
        check_reading(co)
        column = co["clips"]
        assert repr(column["a"]) == "<Subsamples of 'a' in column 'clips'>"
        assert (column.view((5, 4)) == clip(54)).all()
        assert [place.key for place in column.locations([("a", 3)])] == [("a", 3)]


def test_a_write_checkout_reads_what_is_committed_and_what_is_staged(repo, clips):
    with repo.checkout(clips, write=True) as co:
        check_reading(co)
        column = co["clips"]
        del column[5]
        del column["a"]
        column["a"] = {"left": clip(1), "right": clip(2)}
        column["a", 3] = clip(3)
        column.put_many((5, range(10)), np.stack([clip(50 + i) for i in range(10)]))
        check_reading(co)
        co.flush()
        check_reading(co)
        co.commit("the same again", allow_empty=True)
        check_reading(co)


def test_assignment_merges_and_everything_can_be_taken_away_again(repo, clips):
    with repo.checkout(clips, write=True) as co:
        column = co["clips"]
        column["a"] = {"left": clip(100), "up": clip(101)}
        assert list(column["a"]) == [3, "left", "right", "up"]
        column["a"]["down"] = clip(102)
        column["a"].update({"x": clip(103)}, y=clip(104))
        key = column["a"].append(clip(105))
        assert (column["a", key] == clip(105)).all()
        column.update({"new": {0: clip(110)}, 5: [(0, clip(111))]}, named={"k": clip(112)})
        appended = column.append({"only": clip(113)})
        assert list(column[appended]) == ["only"]
        assert (column["a"].pop("x") == clip(103)).all()
        assert column["a"].pop("x", None) is None
        with pytest.raises(UnknownKey):
            column["a"].pop("x")
        del column["a"]["y"]
        del column["a", "down"]
        assert column.pop(("a", key)).shape == (2, 3)
        assert column.pop(appended).keys() == {"only"}
        assert column.pop(appended, None) is None
        with pytest.raises(UnknownKey):
            column.pop(appended)
        for missing in ("b", ("a", "y"), ("b", 1)):
            with pytest.raises(UnknownKey):
                del column[missing]
        co.commit("changed")
    with repo.checkout(clips) as co:
        column = co["clips"]
        assert list(column) == [5, "a", "named", "new", "z"]
        assert list(column["a"]) == [3, "left", "right", "up"]
        assert (column["a", "left"] == clip(100)).all()
        assert (column["a", "right"] == clip(2)).all()
        assert (column[5, 0] == clip(111)).all()
        assert (column[5, 9] == clip(59)).all()


def test_a_sample_is_there_as_long_as_it_has_a_subsample(repo, clips):
    with repo.checkout(clips, write=True) as co:
        column = co["clips"]
        z = column["z"]
        del z["one"]
        assert "z" not in column
        assert len(column) == 2
        assert list(column) == [5, "a"]
        assert list(z) == []
        assert (len(z), dict(z.items())) == (0, {})
        with pytest.raises(UnknownKey):
            column["z"]
        with pytest.raises(UnknownKey):
            _ = z.data
        with pytest.raises(UnknownKey):
            column["new"]["sub"] = clip(1)
        column["new"] = {}
        assert "new" not in column
        z["again"] = clip(9)
        assert list(column["z"]) == ["again"]
        del column["z"], column["a"], column[5]
        assert (len(column), column.num_subsamples, list(column)) == (0, 0, [])
        co.commit("nothing left")
    with repo.checkout(clips) as co:
        assert list(co) == ["clips"]
        assert len(co["clips"]) == 0
        assert co["clips"].contains_subsamples


def test_all_is_checked_before_any_is_staged(repo, clips):
    wrong = np.zeros((3, 2), np.int32)
    with repo.checkout(clips, write=True) as co:
        column = co["clips"]
        for use, error, code in (
            (lambda: column.update({"n": {0: clip(0)}, "m": {0: wrong}}), InvalidRequest, None),
            (lambda: column.__setitem__("n", {0: clip(0), True: clip(1)}), InvalidType, None),
            (lambda: column.__setitem__("n", clip(0)), InvalidType, "not-pairs"),
            (lambda: column.__setitem__("n", 5), InvalidType, "not-pairs"),
            (lambda: column.__setitem__("n", "text"), InvalidType, "not-pairs"),
            (lambda: column.update({"n": clip(0)}), InvalidType, "not-pairs"),
            (lambda: column.__setitem__(("n", 0, 1), clip(0)), InvalidRequest, None),
            (lambda: column.put("n", clip(0)), InvalidType, "invalid-key-type"),
            (lambda: column.put_many(["n"], [clip(0)]), InvalidType, "invalid-key-type"),
            (lambda: column.put_many((["n"], [0, 1]), [clip(0)] * 2), InvalidRequest, None),
            (lambda: column.put_many(("n", [0, 1]), [clip(0)]), InvalidRequest, "wrong-count"),
            (lambda: column["a"].update([1]), InvalidType, "not-pairs"),
            (lambda: column["a", ..., 1:2], InvalidType, "invalid-key-type"),
            (lambda: column["a", "x":"y"], InvalidType, "invalid-key-type"),
            (lambda: column["a", 1.5], InvalidType, "invalid-key-type"),
            (lambda: column["a"][None], InvalidType, "invalid-key-type"),
            (lambda: column[True], InvalidType, "invalid-key-type"),
            (lambda: column[()], InvalidType, "invalid-key-type"),
            (lambda: True in column, InvalidType, "invalid-key-type"),
        ):
            with pytest.raises(error) as caught:
                use()
            assert code is None or caught.value.code == code
        assert list(column) == [5, "a", "z"]
        assert column.num_subsamples == 14
        mapping = {"b": {1: clip(1)}}
        column.update(mapping, c={2: clip(2)})
        assert list(mapping) == ["b"]
        co.abort()


def test_a_flat_column_has_no_pairs_and_a_nested_no_single_keys(repo, clips):
    with repo.checkout(clips, write=True) as co:
        flat = co.add_ndarray_column("flat", shape=(), dtype="u1")
        with pytest.raises(InvalidType):
            flat.put(("a", "b"), np.uint8(1))
        with pytest.raises(InvalidType):
            co.add_ndarray_column("other", shape=1, dtype="u1", contains_subsamples=1)
        co.abort()


def test_two_sessions_change_different_subsamples_of_one_sample(repo, clips):
    with repo.checkout(clips, write=True) as first, repo.checkout(clips, write=True) as second:
        first["clips", "a"]["left"] = clip(200)
        second["clips", "a"]["right"] = clip(201)
        first.commit("left")
        second.commit("right")
    with repo.checkout(clips) as co:
        assert (co["clips", "a", "left"] == clip(200)).all()
        assert (co["clips", "a", "right"] == clip(201)).all()


def test_thousands_of_subsamples_are_ranges_of_the_tree(repo, branch):
    rows = np.arange(6000, dtype="i4")
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=(), dtype="i4", contains_subsamples=True)
        column.put_many((np.repeat(np.arange(3), 2000), np.tile(np.arange(2000), 3)), rows)
        column.put_many(("text", range(10)), rows[:10])
        assert len(column) == 4
        co.commit("many")
        del column[1]
        column[1, 1999] = np.int32(5)
        assert list(column) == [0, 1, 2, "text"]
        assert column[1].data == {1999: 5}
        assert list(column[2, 1990:]) == list(range(1990, 2000))
        co.abort()
    with repo.checkout(branch) as co:
        column = co["x"]
        assert len(column[1]) == 2000
        assert list(column[1].data.values()) == rows[2000:4000].tolist()
        assert list(column) == [0, 1, 2, "text"]


def test_a_closed_checkout_and_a_removed_column_refuse_their_subsamples(repo, clips):
    with repo.checkout(clips) as reading:
        column = reading["clips"]
        a = column["a"]
    for use in (
        lambda: column["a"],
        lambda: column["a", "left"],
        lambda: "a" in column,
        lambda: len(column),
        lambda: list(column),
        lambda: a["left"],
        lambda: a.data,
        lambda: len(a),
        lambda: "left" in a,
        lambda: column.get_many([("a", 3)]),
    ):
        with pytest.raises(Closed):
            use()
    for attribute in ("put", "update", "append", "pop", "delete"):
        assert not hasattr(column, attribute)
        assert not hasattr(a, attribute)
    with pytest.raises(TypeError):
        column["a", "left"] = clip(1)
    with pytest.raises(TypeError):
        del a["left"]
    with repo.checkout(clips, write=True) as co:
        column = co["clips"]
        a = column["a"]
        co.remove_column("clips")
        for use in (
            lambda: column["a"],
            lambda: a["left"],
            lambda: a.update(left=clip(1)),
            lambda: column.put(("a", "left"), clip(1)),
            lambda: len(a),
            lambda: column.delete("a"),
        ):
            with pytest.raises(UnknownColumn):
                use()
        co.abort()
    with pytest.raises(Closed):
        a["left"] = clip(1)
    for attribute in ("name", "dtype", "shape", "backend", "num_subsamples", "contains_subsamples"):
        with pytest.raises(AttributeError):
            setattr(column, attribute, 1)


def test_subsamples_of_every_kind(repo, branch):
    ragged = {i: np.arange(i * 2, dtype="f4").reshape(i, 2) for i in range(1, 4)}
    with repo.checkout(branch, write=True) as co:
        texts = co.add_str_column("texts", contains_subsamples=True)
        blobs = co.add_bytes_column("blobs", contains_subsamples=True)
        arrays = co.add_ndarray_column(
            "arrays", shape=(5, 2), dtype="f4", variable_shape=True, contains_subsamples=True
        )
        for _ in range(2):
            texts["s"] = {"de": "gr\u00fc\u00df", "en": "hello", 3: ""}
            blobs["s", 0] = b"\0\1"
            arrays["s"] = ragged
            co.put_many({"texts": {"t": {0: "x"}}, "arrays": (("t", [0]), [ragged[3]])})
            assert texts["s"].data == {3: "", "de": "gr\u00fc\u00df", "en": "hello"}
            assert blobs["s", 0] == b"\0\1"
            assert {key: rows.shape for key, rows in arrays["s"].items()} == {
                1: (1, 2),
                2: (2, 2),
                3: (3, 2),
            }
            assert (arrays["t", 0] == ragged[3]).all()
            co.commit("kinds", allow_empty=True)
        assert texts["s"].pop("en") == "hello"
        co.commit("without")
    with repo.checkout(branch) as co:
        assert co["texts", "s", ...] == {3: "", "de": "gr\u00fc\u00df"}
        assert co["texts", "t", 0] == "x"
        assert co["blobs", "s", 0] == b"\0\1"
        assert (co["arrays", "s", 2] == ragged[2]).all()
        assert (co["arrays", "s", 3, 1:] == ragged[3][1:]).all()
        found = co[[("texts", "s", "de"), ("arrays", "s", 1), ("blobs", "s", 0)]]
        assert found[0] == "gr\u00fc\u00df"
        assert found[1].shape == (1, 2)
        assert [sample for sample, _ in co["arrays"].items()] == ["s", "t"]
        assert len(list(co["arrays"].subsample_items())) == 4


def test_a_session_is_shared_by_clients_who_see_each_other(repo, clips):
    with repo.checkout(clips, write=True) as first, repo.checkout(session=first.session) as second:
        first["clips"]["a", "up"] = clip(300)
        first["clips"].delete((5, 0))
        del first["clips"]["z", "one"]
        first.flush()
        theirs = second["clips"]
        assert list(theirs["a"]) == [3, "left", "right", "up"]
        assert (theirs["a", "up"] == clip(300)).all()
        assert list(theirs[5, ...]) == list(range(1, 10))
        assert list(theirs) == [5, "a"]
        assert theirs.num_subsamples == 13
        assert "z" not in theirs
        theirs["z"] = {"two": clip(301)}
        second.flush()
        assert list(first["clips", "z"]) == ["two"]
        first.commit("both")
