"""Prefetching and batching keep the order of the results."""

import threading
import time

import numpy as np
import pytest

from vanillanet_det.runtime.batching import map_batches, prefetch


def test_prefetching_keeps_the_order_and_runs_in_another_thread():
    threads = set()

    def double(x):
        threads.add(threading.current_thread())
        return 2 * x

    assert list(prefetch(double, range(50), depth=3)) == list(range(0, 100, 2))
    assert threading.main_thread() not in threads


def test_prefetching_runs_ahead_of_the_consumer_up_to_its_depth():
    done = []
    results = prefetch(done.append, range(50), depth=3)
    next(results)
    deadline = time.monotonic() + 10
    while len(done) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert done == [0, 1, 2, 3]
    before = threading.active_count()
    results.close()
    assert threading.active_count() == before - 1
    assert done == [0, 1, 2, 3]


def test_an_error_while_prefetching_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda x: 1 / x, [1, 0, 2], depth=2))


def test_batches_have_equal_keys_and_results_are_in_order():
    keys = np.random.RandomState(0).choice(["", "a", "b", "c"], 200).tolist()
    items = [(i, key or None) for i, key in enumerate(keys)]
    batches = []

    def work(batch):
        batches.append(batch)
        return [10 * i for i, _ in batch]

    found = list(map_batches(items, lambda item: item[1], work, size=4, patience=16))
    assert [item for item, _ in found] == items
    assert all(result == (None if key is None else 10 * i) for (i, key), result in found)
    assert all(len({key for _, key in batch}) == 1 for batch in batches)
    assert max(map(len, batches)) == 4
    assert sum(len(batch) == 4 for batch in batches) > len(batches) / 2


def test_an_item_with_a_unique_key_does_not_delay_the_others():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    found = map_batches(items(), lambda i: i == 0, lambda batch: batch, size=4, patience=8)
    assert next(found) == (0, 0)
    assert len(taken) <= 10


def test_batches_in_threads_stay_in_order_and_none_waits_for_a_slow_one():
    started = threading.Barrier(3, timeout=30)

    def work(batch):
        started.wait()
        time.sleep(0.02 * (batch[0] % 3 == 0))
        return [10 * i for i in batch]

    found = list(map_batches(range(18), lambda i: "a", work, size=2, patience=100, workers=3))
    assert found == [(i, 10 * i) for i in range(18)]


def test_few_items_are_in_memory_with_several_threads():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    def work(batch):
        time.sleep(0.05)
        return batch

    found = map_batches(items(), lambda i: 0, work, size=2, patience=8, workers=2)
    assert next(found) == (0, 0)
    assert len(taken) <= 8


def test_a_consumer_that_stops_early_leaves_no_thread_and_no_work():
    done = []
    before = threading.active_count()

    def work(batch):
        done.append(batch)
        time.sleep(0.05)
        return batch

    found = map_batches(range(100), lambda i: 0, work, size=1, patience=8, workers=2)
    next(found)
    found.close()
    assert threading.active_count() == before
    assert len(done) <= 4


def test_an_error_in_a_batch_is_raised():
    for workers in (1, 2):
        found = map_batches([0], lambda i: 0, lambda batch: 1 / 0, 1, patience=2, workers=workers)
        with pytest.raises(ZeroDivisionError):
            list(found)
