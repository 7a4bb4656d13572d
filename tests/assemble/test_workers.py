"""Lanes: in order, one at a time, and what fails is told to who waits for it."""

import threading

import pytest

from staunch.assemble.workers import Lane, Workers


@pytest.fixture(params=[1, 4])
def workers(request):
    made = Workers(request.param)
    yield made
    made.close()


def test_a_lane_keeps_the_order(workers):
    lane, seen, busy = Lane(workers), [], threading.Lock()

    def work(number):
        assert busy.acquire(blocking=False), "two pieces of one lane ran at once"
        seen.append(number)
        busy.release()

    futures = [lane.submit(lambda number=number: work(number)) for number in range(500)]
    for future in futures:
        future.result(timeout=30)
    assert seen == list(range(500))


def test_what_fails_is_told_and_the_lane_goes_on(workers):
    lane = Lane(workers)
    bad = lane.submit(lambda: 1 / 0)
    good = lane.submit(lambda: None)
    with pytest.raises(ZeroDivisionError):
        bad.result(timeout=30)
    good.result(timeout=30)
