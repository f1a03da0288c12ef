"""Read columns and checkouts in other processes, as the workers of a data loader use them."""

import copy
import gc
import multiprocessing
import os
import pickle
import threading

import hangard_client
import numpy as np
import pytest

from hangard.errors import Closed, InvalidType, NoRepository, UnknownRevision
from hangard.model.directory import DIRECTORY
from hangard.reading.readers import live_marks


@pytest.fixture
def both(repo, filled):
    """`faces` is flat, `clips` nested: "s" has 0 .. 9."""
    with repo.checkout(filled, write=True) as co:
        clips = co.add_ndarray_column("clips", shape=3, dtype="i4", contains_subsamples=True)
        clips["s"] = {i: np.full(3, i, "i4") for i in range(10)}
        co.commit("clips")
    return filled


def work(inbox, outbox):
    """A worker of a loader: answers what each job gives until there is None."""
    for column, keys in iter(inbox.get, None):
        outbox.put((os.getpid(), column.get_many(keys)))
    outbox.put(None)


def load(context, jobs):
    """What two worker processes make of jobs, as a loader's do: (process, rows) of each."""
    inbox, outbox = context.Queue(), context.Queue()
    workers = [context.Process(target=work, args=(inbox, outbox)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for job in [*jobs, None, None]:
        inbox.put(job)
    results, ended = [], 0
    while ended < len(workers):
        result = outbox.get(timeout=60)
        if result is None:
            ended += 1
        else:
            results.append(result)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return results


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_columns_are_read_by_worker_processes_however_they_start(repo, both, images, method):
    context = multiprocessing.get_context(method)
    with repo.checkout(both) as co:
        jobs = [(co["faces"], range(i, 100, 10)) for i in range(10)]
        jobs += [(co["clips"], ("s", [i, i + 1])) for i in range(5)]
        jobs += [(co["clips"]["s"], [i]) for i in range(5)]
        results = load(context, jobs)
    assert len(results) == 20
    assert os.getpid() not in {process for process, _ in results}
    rows = [rows for _, rows in results if rows.shape[1:] == (6, 5)]
    assert sorted(rows[:, 0, 0].tolist() for rows in rows) == sorted(
        images[i:100:10, 0, 0].tolist() for i in range(10)
    )
    firsts = sorted(row[0] for _, row in results if row.shape[1:] == (3,) for row in [row[0]])
    assert firsts == sorted([*range(5), *range(5)])


def read_inherited(co, column, outbox):
    outbox.put((int(co["faces", 7][0, 0]), int(column["s", 3][0]), co.commit_digest))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_checkout_goes_to_another_process(repo, both, images, method):
    context = multiprocessing.get_context(method)
    outbox = context.Queue()
    with repo.checkout(both) as co:
        child = context.Process(target=read_inherited, args=(co, co["clips"], outbox))
        child.start()
        assert outbox.get(timeout=60) == (int(images[7, 0, 0]), 3, co.commit_digest)
        child.join(60)


def test_what_was_pickled_is_the_commit_of_then_and_opens_at_its_first_use(repo, both, images):
    with repo.checkout(both) as co:
        kept = pickle.dumps((co, co["faces"], co["clips"], co["clips", "s"]))
        digest = co.commit_digest
    with repo.checkout(both, write=True) as co:
        co["faces"][3] = images[199]
        co.commit("later")
    marks = len(live_marks(repo.path / DIRECTORY))
    checkout, faces, clips, sample = pickle.loads(kept)
    assert len(live_marks(repo.path / DIRECTORY)) == marks
    assert (faces[3] == images[3]).all()
    assert (faces.name, faces.shape, len(faces)) == ("faces", (6, 5), 101)
    assert len(live_marks(repo.path / DIRECTORY)) == marks + 1
    assert (clips["s", 4] == 4).all()
    assert clips.num_subsamples == 10
    assert (sample[2] == 2).all()
    assert len(live_marks(repo.path / DIRECTORY)) == marks + 1  # one commit, opened once
    assert checkout.commit_digest == digest
    assert (checkout["faces", 3] == images[3]).all()
    checkout.close()
    with pytest.raises(Closed):
        checkout["faces"]
    assert (faces[3] == images[3]).all()
    del checkout, faces, clips, sample
    gc.collect()
    assert len(live_marks(repo.path / DIRECTORY)) == marks


def test_what_is_pickled_names_a_place_and_holds_no_data(repo, both):
    with repo.checkout(both) as co:
        assert len(pickle.dumps(co["faces"])) < 500
        again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(co["faces"]))))
        assert len(again) == 101
        assert len(copy.copy(co["clips"])) == 1
        assert copy.deepcopy([co["clips", "s"]])[0].keys() == list(range(10))


def test_threads_may_open_what_was_pickled_at_once(repo, both, images):
    with repo.checkout(both) as co:
        faces = pickle.loads(pickle.dumps(co["faces"]))
    failures = []

    def read(number):
        try:
            assert (faces[number] == images[number]).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_writes_is_not_pickled_and_what_is_closed_neither(repo, both):
    with repo.checkout(both, write=True) as co:
        for writer in (
            co,
            co["faces"],
            co["clips"],
            co["clips", "s"],
            co._inner,
            co._inner["clips"],
        ):
            with pytest.raises(InvalidType, match="read") as caught:
                pickle.dumps(writer)
            assert caught.value.code == "not-picklable"
    with repo.checkout(both) as co:
        faces, sample = co["faces"], co["clips", "s"]
    for closed in (co, faces, sample):
        with pytest.raises(Closed):
            pickle.dumps(closed)


def test_a_place_that_is_gone_is_told_at_the_first_use(repo, both, tmp_path):
    with repo.checkout(both) as co:
        column = co["faces"]
        _, (kind, (path, commit, name)) = column.__reduce__()
        unopened = column.__reduce__()[0]
    with pytest.raises(NoRepository):
        len(unopened(kind, (str(tmp_path / "nothing"), commit, name)))
    with pytest.raises(UnknownRevision):
        len(unopened(kind, (path, bytes(32), name)))
    with pytest.raises(KeyError):
        len(unopened(kind, (path, commit, "nope")))
    with pytest.raises(AttributeError):
        _ = unopened(kind, (path, commit, name)).no_such_attribute


async def test_asynchronous_columns_are_pickled_as_well(repo, both, images):
    async with hangard_client.AsyncRepository(repo.path) as mine, mine.checkout(both) as co:
        faces, clips, checkout = pickle.loads(pickle.dumps((co["faces"], co["clips"], co)))
        assert (await faces.read(3) == images[3]).all()
        assert (await clips.read(("s", 3)) == 3).all()
        assert (checkout["faces", 5] == images[5]).all()
        await checkout.close()


def test_a_branch_without_a_commit_is_pickled(repo, branch):
    with repo.checkout(branch) as co:
        again = pickle.loads(pickle.dumps(co))
        assert (list(again), again.commit_digest) == ([], None)
        again.close()


def test_a_checkout_that_was_forgotten_holds_nothing_back(repo, both):
    marks = len(live_marks(repo.path / DIRECTORY))
    column = repo.checkout(both)["faces"]
    gc.collect()
    assert len(live_marks(repo.path / DIRECTORY)) == marks + 1
    assert len(column) == 101
    del column
    gc.collect()
    assert len(live_marks(repo.path / DIRECTORY)) == marks
