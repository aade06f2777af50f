"""Work ahead and in groups, with the results in order."""

import threading
import time

import numpy as np
import pytest

from vanillanet_det.runtime.stream import ahead, in_groups


def test_ahead_keeps_the_order_and_works_in_another_thread():
    threads = set()

    def double(x):
        threads.add(threading.current_thread())
        return 2 * x

    assert list(ahead(double, range(50), depth=3)) == list(range(0, 100, 2))
    assert threading.main_thread() not in threads


def test_ahead_works_while_nobody_takes_but_not_further_than_it_may():
    done = []
    results = ahead(done.append, range(50), depth=3)
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


def test_an_error_ahead_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda x: 1 / x, [1, 0, 2], depth=2))


def test_groups_have_equal_keys_and_results_are_in_order():
    keys = np.random.RandomState(0).choice(["", "a", "b", "c"], 200).tolist()
    items = [(i, key or None) for i, key in enumerate(keys)]
    groups = []

    def work(group):
        groups.append(group)
        return [10 * i for i, _ in group]

    found = list(in_groups(items, lambda item: item[1], work, size=4, patience=16))
    assert [item for item, _ in found] == items
    assert all(result == (None if key is None else 10 * i) for (i, key), result in found)
    assert all(len({key for _, key in group}) == 1 for group in groups)
    assert max(map(len, groups)) == 4
    assert sum(len(group) == 4 for group in groups) > len(groups) / 2


def test_an_item_of_its_own_kind_does_not_hold_the_others_up():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    found = in_groups(items(), lambda i: i == 0, lambda group: group, size=4, patience=8)
    assert next(found) == (0, 0)
    assert len(taken) <= 10


def test_groups_in_threads_come_in_order_and_none_waits_for_a_slow_one():
    started = threading.Barrier(3, timeout=30)

    def work(group):
        started.wait()
        time.sleep(0.02 * (group[0] % 3 == 0))
        return [10 * i for i in group]

    found = list(in_groups(range(18), lambda i: "a", work, size=2, patience=100, workers=3))
    assert found == [(i, 10 * i) for i in range(18)]


def test_few_items_are_in_memory_however_many_threads_work():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    def work(group):
        time.sleep(0.05)
        return group

    found = in_groups(items(), lambda i: 0, work, size=2, patience=8, workers=2)
    assert next(found) == (0, 0)
    assert len(taken) <= 8


def test_whoever_ends_early_leaves_no_thread_and_no_work():
    done = []
    before = threading.active_count()

    def work(group):
        done.append(group)
        time.sleep(0.05)
        return group

    found = in_groups(range(100), lambda i: 0, work, size=1, patience=8, workers=2)
    next(found)
    found.close()
    assert threading.active_count() == before
    assert len(done) <= 4


def test_an_error_in_a_group_is_raised():
    for workers in (1, 2):
        found = in_groups([0], lambda i: 0, lambda group: 1 / 0, 1, patience=2, workers=workers)
        with pytest.raises(ZeroDivisionError):
            list(found)
