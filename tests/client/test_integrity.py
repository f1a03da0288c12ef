"""gc, purge and verify of columns of every kind, through a daemon."""

from __future__ import annotations

import hangard_client
import numpy as np
import pytest

from hangard.errors import InvalidRequest, InvalidType, Purged

N = 3_000


@pytest.fixture
def repo(tmp_path):
    """A repository of its own: gc takes all that nothing names."""
    repository = hangard_client.Repository(
        tmp_path, create=True, idle_s=60, user_name="Ada", user_email="ada@example.org"
    )
    yield repository
    repository.stop()
    repository.close()


def texts(n):
    return {key: f"sample {key} " * (1 + key % 40) for key in range(n)}


def blobs(n):
    rng = np.random.default_rng(2)
    return {key: rng.bytes(1 + key % 300) for key in range(n)}


def arrays(n):
    rng = np.random.default_rng(1)
    shapes = [(1 + key % 7, 10 + key % 50) for key in range(n)]
    return {key: rng.integers(0, 999, shape, np.int16) for key, shape in enumerate(shapes)}


def fill(repo, backend):
    samples = {"text": texts(N), "blob": blobs(N), "array": arrays(N)}
    with repo.checkout(write=True) as co:
        co.add_str_column("text")
        co.add_bytes_column("blob")
        co.add_ndarray_column(
            "array", shape=(8, 60), dtype="int16", variable_shape=True, backend=backend
        )
        for name, values in samples.items():
            co[name].update(values)
        co.commit("all")
    return samples


def check(repo, samples, kept):
    with repo.checkout() as co:
        for name, values in samples.items():
            found = co[name].get_many(kept)
            for key, value in zip(kept, found, strict=True):
                same = np.array_equal(value, values[key])
                assert same if name == "array" else value == values[key]


@pytest.mark.parametrize("backend", ["00", "10"])
def test_samples_of_any_shape_text_and_bytes_move_and_are_verified(repo, backend):
    samples = fill(repo, backend)
    assert repo.verify().is_sound
    with repo.checkout(write=True) as co:
        for name in samples:
            column = co[name]
            for key in range(0, 2_500):
                del column[key]
        co.commit("fewer")
    kept = list(range(2_500, N))
    done = repo.gc(grace_s=0, full=True)
    assert done.commits == 0
    purged = repo.purge("text", [2_999])
    assert purged.stored == 1
    purged = repo.purge("array", range(3, 2_000))
    assert purged.files > 0
    check(repo, samples, kept[:-1])
    with repo.checkout() as co, pytest.raises(Purged):
        co["text"][2_999]
    found = repo.verify()
    assert found.is_sound
    assert found.purged > 1_000
    assert found.samples > N


def test_wrong_arguments_are_refused_at_once(repo):
    with pytest.raises(InvalidRequest, match="seconds from 0 on"):
        repo.gc(grace_s=-1)
    with pytest.raises(InvalidType, match="number of seconds"):
        repo.gc(reflog_age_s="1 h")
    with pytest.raises(InvalidType, match="True or False"):
        repo.gc(full=1)
    with pytest.raises(InvalidRequest, match="no sample is named"):
        repo.purge()
    with pytest.raises(InvalidRequest, match="64 hexadecimal digits"):
        repo.purge(digests=["xyz"])
