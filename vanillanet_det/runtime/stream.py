"""Work done ahead, and in groups, with the results in order."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Optional, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_END = object()


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Apply a function in a thread, some items ahead of whoever takes the results.

    Args:
        function: What to apply.
        items: What to apply it to; they are drawn in that thread, too.
        depth: Results that may wait.

    Yields:
        The results, in order.
    """
    iterator = iter(items)

    def step() -> Any:
        for item in iterator:
            return function(item)
        return _END

    steps: deque[Future] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            steps.extend(pool.submit(step) for _ in range(depth))
            while (result := steps.popleft().result()) is not _END:
                steps.append(pool.submit(step))
                yield result
        finally:
            for waiting in steps:
                waiting.cancel()


def in_groups(
    items: Iterable[Item],
    key: Callable[[Item], Optional[Hashable]],
    function: Callable[[list[Item]], Iterable[Result]],
    size: int,
    patience: int,
    workers: int = 1,
) -> Iterator[tuple[Item, Optional[Result]]]:
    """Apply a function to groups of items with equal keys.

    Args:
        items: What to apply it to.
        key: What the items of a group have in common; None for an item to be left out.
        function: Takes a group, returns as many results.
        size: Items in a full group.
        patience: After so many more items a group is taken that isn't full.
        workers: Groups that are worked on at the same time, each in a thread; one is worked on
            by whoever takes the results.

    Yields:
        Each item and its result, in the order of the items; None for one left out. Before an
        error is raised, those that are done.
    """
    groups: dict[Hashable, list[tuple[int, Item]]] = {}
    running: deque[tuple[list[tuple[int, Item]], Future]] = deque()
    finished: dict[int, tuple[Item, Optional[Result]]] = {}
    following = 0

    def take(name: Hashable) -> None:
        group = groups.pop(name)
        running.append((group, submit(function, [item for _, item in group])))

    def collect(limit: int) -> None:
        """Wait until no more groups than that are worked on."""
        while running and (len(running) > limit or running[0][1].done()):
            group, future = running.popleft()
            for (index, item), result in zip(group, future.result()):
                finished[index] = (item, result)

    with ThreadPoolExecutor(workers) as pool:
        submit = pool.submit if workers > 1 else _at_once
        try:
            for index, item in enumerate(items):
                name = key(item)
                if name is None:
                    finished[index] = (item, None)
                else:
                    groups.setdefault(name, []).append((index, item))
                    if len(groups[name]) == size:
                        take(name)
                oldest = min(groups, key=lambda name: groups[name][0][0], default=None)
                if oldest is not None and index - groups[oldest][0][0] >= patience:
                    take(oldest)
                collect(limit=workers)
                while following in finished:
                    yield finished.pop(following)
                    following += 1
            for name in list(groups):
                take(name)
            collect(limit=0)
            for index in sorted(finished):
                yield finished[index]
        except Exception:
            for index in sorted(finished):
                yield finished[index]
            raise
        finally:
            for _, future in running:
                future.cancel()


def _at_once(function: Callable[[list[Item]], Iterable[Result]], group: list[Item]) -> Future:
    future: Future = Future()
    future.set_result(function(group))
    return future
