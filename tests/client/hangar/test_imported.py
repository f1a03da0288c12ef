"""A repository that Hangar made, imported, goes on under the same names."""

import pytest
from client.hangar.conftest import end
from hangard_client.hangar import Repository
from reference import hangar


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    source = hangar.unpack(tmp_path_factory.mktemp("hangar"))
    repo = Repository(tmp_path_factory.mktemp("imported"), exists=False)
    repo.init("Ada", "ada@example.org")
    repo._repo().import_hangar(source)
    yield repo
    end(repo)


def test_old_digests_name_their_commits(imported):
    heads = hangar.expected()["branches"]
    assert set(heads) <= set(imported.list_branches())
    for branch, old in heads.items():
        commit = imported.log(branch, return_contents=True)["head"]
        assert imported.log(commit=old, return_contents=True)["head"] == commit
        assert imported.checkout(commit=old).commit_hash == commit
        assert imported.create_branch(f"again-{branch}", old).digest == commit
        assert not any(imported.diff(branch, old).diff.added.samples)
    with pytest.raises(ValueError, match="no "):
        imported.checkout(commit="a=" + "0" * 40)


def content(column):
    """All samples, as the expected content has them."""
    if column.contains_subsamples:
        return {
            hangar.key_text(sample): {
                hangar.key_text(key): hangar.summary(value) for key, value in subsamples.items()
            }
            for sample, subsamples in column.items()
        }
    return {hangar.key_text(key): hangar.summary(value) for key, value in column.items()}


def test_every_commit_holds_what_it_held(imported):
    for old, columns in hangar.expected()["commits"].items():
        co = imported.checkout(commit=old)
        assert set(co) == set(columns)
        for name, told in columns.items():
            column = co[name]
            assert column.column_layout == told["layout"]
            assert column.column_type == told["type"]
            assert column.schema_type == told["schema_type"]
            assert column.shape == (told["shape"] and tuple(told["shape"]))
            assert told["dtype"] in (str(column.dtype), getattr(column.dtype, "name", None))
            assert column.backend == told["backend"]
            assert column.backend_options.items() >= told["backend_options"].items()
            assert content(column) == told["samples"]
