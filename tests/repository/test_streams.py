"""How far clients have come: bounded, and never wrong."""

from __future__ import annotations

from hangard.repository.streams import STREAM_BITS, STREAMS_KEPT_MAX, STREAMS_MAX, Streams


def number(stream, count):
    return (stream << STREAM_BITS) + count


def test_streams_are_numbered_and_advance():
    streams = Streams({})
    assert (streams.begin(), streams.begin()) == (1, 2)
    assert streams.last(1) == number(1, 0)
    streams.advance(number(1, 3))
    assert streams.last(1) == number(1, 3)
    assert Streams(streams.all()).last(1) == number(1, 3)


def test_a_number_is_never_given_twice_though_its_client_left():
    streams = Streams({})
    for _ in range(3):
        stream = streams.begin()
        streams.advance(number(stream, 1))
        streams.forget(number(stream, 1))
    assert streams.all() == {3: number(3, 1)}  # the newest tells what was given away
    assert Streams(streams.all()).begin() == 4


def test_what_is_kept_is_bounded_and_those_in_use_stay():
    streams = Streams({})
    used = streams.begin()
    for count in range(1, 3 * STREAMS_KEPT_MAX):
        streams.advance(number(used, count))
        streams.advance(number(streams.begin(), 1))
        assert len(streams.all()) <= STREAMS_KEPT_MAX
    assert streams.last(used) == number(used, 3 * STREAMS_KEPT_MAX - 1)
    assert streams.last(2) == number(2, 0)  # forgotten: what comes from it is refused as a gap


def test_numbers_of_clients_that_left_are_given_again_when_all_were_given():
    streams = Streams({STREAMS_MAX - 2: number(STREAMS_MAX - 2, 7)})
    newest = streams.begin()
    assert newest == STREAMS_MAX - 1
    first, second = streams.begin(), streams.begin()
    assert (first, second) == (1, 2)
    streams.advance(number(first, 5))
    streams.forget(number(first, 5))
    assert streams.begin() == first
    assert streams.last(first) == number(first, 0)


def test_a_number_whose_client_may_be_there_still_is_not_given_again():
    streams = Streams({STREAMS_MAX - 1: number(STREAMS_MAX - 1, 1)})
    given = [streams.begin() for _ in range(3 * STREAMS_KEPT_MAX)]
    assert len(set(given)) == len(given)
    assert len(streams.all()) == STREAMS_KEPT_MAX
