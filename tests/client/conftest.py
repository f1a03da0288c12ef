import itertools

import hangard_client
import numpy as np
import pytest
from client.diverging import commit

AUTHOR = {"user_name": "Ada", "user_email": "ada@example.org"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def repo(request, tmp_path_factory):
    """A repository with its daemon; `main` stays empty, tests use branches of their own.

    Rows travel through windows, or with the parameter "bodies" in the bodies of requests.
    """
    path = tmp_path_factory.mktemp("repository") / "repo"
    shared_memory = getattr(request, "param", "windows") == "windows"
    repository = hangard_client.Repository(
        path, create=True, idle_s=60, shared_memory=shared_memory, **AUTHOR
    )
    yield repository
    repository.stop()
    repository.close()


@pytest.fixture
def branch(repo):
    """A new branch without a commit."""
    name = f"branch-{next(_numbers)}"
    repo.create_branch(name)
    return name


@pytest.fixture
def images():
    return np.random.default_rng(7).integers(0, 256, (200, 6, 5), dtype=np.uint8)


@pytest.fixture
def filled(repo, branch, images):
    """A branch whose column `faces` holds images 0 .. 99 under their numbers, and "ada"."""
    with repo.checkout(branch, write=True) as co:
        faces = co.add_ndarray_column("faces", shape=(6, 5), dtype="uint8", backend="numpy")
        faces.put_many(range(100), images[:100])
        faces["ada"] = images[100]
        co.commit("first faces")
    return branch


@pytest.fixture
def pair(repo, branch):
    """Two branches that begin with the keys 1 to 4 under their own values."""
    other = f"{branch}-dev"
    commit(repo, branch, {key: key for key in range(1, 5)})
    repo.create_branch(other, branch)
    return branch, other
