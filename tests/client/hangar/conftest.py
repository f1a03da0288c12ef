"""Repositories as a Hangar script opens them."""

import numpy as np
import pytest
from hangard_client.hangar import Repository

ROW = np.arange(6, dtype=np.int64)


@pytest.fixture
def fresh(tmp_path):
    """A repository without a commit."""
    repo = Repository(tmp_path, exists=False)
    repo.init("Ada", "ada@example.org")
    yield repo
    end(repo)


def fill(repo):
    """The column `x` with the samples "a", "b" and 1, committed on `master`; its digest."""
    co = repo.checkout(write=True)
    column = co.add_ndarray_column("x", prototype=ROW)
    column.update({"a": ROW, "b": ROW + 1, 1: ROW + 2})
    digest = co.commit("first")
    co.close()
    return digest


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A repository with what `fill` commits, for the tests of one module."""
    repo = Repository(tmp_path_factory.mktemp("hangar"), exists=False)
    repo.init("Ada", "ada@example.org")
    fill(repo)
    yield repo
    end(repo)


@pytest.fixture
def co(shared):
    """The staging area of `shared`, dropped at the end of the test."""
    checkout = shared.checkout(write=True)
    yield checkout
    try:
        checkout.reset_staging_area(force=True)
    except PermissionError:
        return  # the test closed it
    checkout.close()


@pytest.fixture
def column(co):
    """The column `x` to write."""
    return co["x"]


def end(repo):
    """End the daemon, and what the repository holds open."""
    if repo.initialized:
        native = repo._repo()
        native.stop()
        native.close()
