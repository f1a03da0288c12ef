"""Reading through the daemon, when the files cannot be read."""

import pickle

import hangard_client
import numpy as np
import pytest

from hangard.errors import Busy, Closed, Corrupt, UnknownColumn, UnknownKey, UnknownRevision
from hangard.reading.snapshot import RepositoryReader


@pytest.fixture
def far(repo, monkeypatch):
    """A client for which no slot of a reader is left."""

    def refuse(*arguments):
        raise Busy("no slot is left", code="readers-full")

    with hangard_client.Repository(repo.path) as other:
        for name in ("branch", "branches", "resolve", "checkout", "checkout_commit"):
            monkeypatch.setattr(other._inner._reader, name, refuse)
        yield other


def test_a_client_that_cannot_read_the_files_asks_the_daemon(far, filled, images):
    with far.checkout(filled) as co:
        faces = co["faces"]
        assert (faces[5] == images[5]).all()
        assert (co["faces", "ada", 2:4] == images[100, 2:4]).all()
        assert (faces.get_many(range(100)) == images[:100]).all()
        assert list(faces) == [*range(100), "ada"]
        assert len(faces) == 101
        assert "nobody" not in faces
        assert dict(faces.items()).keys() == {*range(100), "ada"}
        view = faces.view(7)
        assert (view == images[7]).all()
        assert not view.flags.writeable
        with pytest.raises(UnknownKey):
            faces["nobody"]
        with pytest.raises(UnknownColumn):
            co["nothing"]
        digest = co.commit_digest
    for given in ({"commit": digest}, {"branch": filled}):
        with far.checkout(**given) as co:
            assert (co["faces", 1] == images[1]).all()
    with pytest.raises(UnknownRevision):
        far.checkout("nothing")


def test_a_branch_without_a_commit_reads_as_empty_from_afar(far, branch):
    with far.checkout(branch) as co:
        assert (list(co), co.commit_digest) == ([], None)


def test_subsamples_come_from_afar_and_are_closed_with_their_checkout(repo, far, branch):
    rows = np.arange(300, dtype="i4").reshape(100, 3)
    with repo.checkout(branch, write=True) as co:
        column = co.add_ndarray_column("x", shape=3, dtype="i4", contains_subsamples=True)
        column.put_many(("s", range(100)), rows)
        column["t"] = {"only": rows[7]}
        co.commit("nested")
    with far.checkout(branch) as co:
        column = co["x"]
        assert (list(column), column.num_subsamples) == (["s", "t"], 101)
        assert list(column["s", 97:]) == [97, 98, 99]
        assert (column["t"].data["only"] == rows[7]).all()
        assert (co["x", "s", 5, 1:] == rows[5, 1:]).all()
        again = pickle.loads(pickle.dumps(column))
        assert (again["s", 9] == rows[9]).all()
    for use in (lambda: column["s"], lambda: len(column), lambda: co["x"]):
        with pytest.raises(Closed):
            use()


def test_large_and_empty_samples_come_from_afar(repo, far, branch):
    large = np.arange(3 * 1024 * 1024, dtype="<i4")
    with repo.checkout(branch, write=True) as co:
        co.add_ndarray_column("large", prototype=large)[0] = large
        co.add_ndarray_column("empty", shape=(0, 3), dtype="f4")[0] = np.empty((0, 3), "f4")
        co["large"].put_many([1, 2], np.stack([large + 1, large + 2]))
        co.commit("both")
    with far.checkout(branch) as co:
        assert (co["large"].get_many([2, 0, 1])[:, 0] == [2, 0, 1]).all()
        assert (co["large", 1] == large + 1).all()
        assert co["empty", 0].shape == (0, 3)


async def test_an_asynchronous_client_reads_from_afar_too(repo, filled, images, monkeypatch):
    def refuse(*arguments):
        raise Busy("no slot is left", code="readers-full")

    async with hangard_client.AsyncRepository(repo.path) as far:
        monkeypatch.setattr(far._reader, "branches", refuse)
        monkeypatch.setattr(far._reader, "branch", refuse)
        async with far.checkout(branch=filled) as co:
            assert (await co["faces"].get_many([1, 2]) == images[[1, 2]]).all()


def test_what_is_damaged_is_not_asked_for_again(repo, filled, monkeypatch):
    def damaged(*arguments):
        raise Corrupt("damaged")

    with hangard_client.Repository(repo.path) as other:
        monkeypatch.setattr(RepositoryReader, "branches", damaged)
        with pytest.raises(Corrupt):
            other.checkout(filled)
