"""Regions of the memory that the HDF5 process reads."""

import itertools
import mmap
import os
import threading

import pytest

from hangard.backends.shared_memory import UNIT_BYTES, SharedMemory

UNITS = 8


@pytest.fixture
def memory():
    with SharedMemory(UNITS * UNIT_BYTES) as memory:
        yield memory


def test_regions_do_not_overlap_and_hold_what_was_asked_for(memory):
    regions = [memory.allocate(size) for size in (1, UNIT_BYTES + 1, UNIT_BYTES)]
    spans = sorted((region.offset, region.offset + len(region.view)) for region in regions)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert [len(region.view) for region in regions] == [UNIT_BYTES, 2 * UNIT_BYTES, UNIT_BYTES]
    for region in regions:
        region.release()


def test_another_mapping_sees_what_is_put_into_a_region(memory):
    first = memory.allocate(UNIT_BYTES)
    region = memory.allocate(UNIT_BYTES)
    region.view[:5] = b"chunk"
    with mmap.mmap(memory.fd, 0, prot=mmap.PROT_READ) as other:
        assert other[region.offset : region.offset + 5] == b"chunk"
    first.release()
    region.release()


def test_a_full_pool_refuses_who_asks_and_holds_back_who_waits(memory):
    regions = [memory.allocate(UNIT_BYTES) for _ in range(UNITS)]
    assert memory.try_allocate(1) is None
    got = []
    thread = threading.Thread(target=lambda: got.append(memory.allocate(2 * UNIT_BYTES)))
    thread.start()
    regions[0].release()
    regions[2].release()
    assert not got, "two units that do not touch are no region of two"
    regions[3].release()
    thread.join()
    assert got[0].offset == 2 * UNIT_BYTES
    got[0].release()
    for place in (1, 4, 5, 6, 7):
        regions[place].release()


def test_a_region_larger_than_the_pool_has_memory_of_its_own(memory):
    region = memory.try_allocate(UNITS * UNIT_BYTES + 1)
    assert region is not None
    assert region.offset == 0
    with mmap.mmap(region.passed_fd, 0, prot=mmap.PROT_READ) as other:
        region.view[-1:] = b"!"
        assert other[-1:] == b"!"
    region.release()


def test_the_memory_cannot_be_cut_off_under_its_reader(memory):
    with pytest.raises(PermissionError):
        os.ftruncate(memory.fd, UNIT_BYTES)
