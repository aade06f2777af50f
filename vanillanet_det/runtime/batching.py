"""Prefetching and batching of items, with the results in order."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Optional, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_END = object()


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Apply a function to items in a thread that runs ahead of the consumer.

    Args:
        function: Function to apply to each item.
        items: The items; the same thread iterates over them.
        depth: Maximum number of results in memory.

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


def map_batches(
    items: Iterable[Item],
    key: Callable[[Item], Optional[Hashable]],
    function: Callable[[list[Item]], Iterable[Result]],
    size: int,
    patience: int,
    workers: int = 1,
) -> Iterator[tuple[Item, Optional[Result]]]:
    """Apply a function to batches of items with equal keys.

    Args:
        items: The items.
        key: Function that returns an item's key. A batch contains items with equal keys; items
            whose key is None are skipped.
        function: Function that maps a batch to one result per item.
        size: Number of items in a full batch.
        patience: A batch that isn't full is processed after this many further items.
        workers: Number of batches that are processed at the same time, each in its own thread; a
            single worker runs in the consumer's thread.

    Yields:
        Each item and its result, in the order of the items; the result of a skipped item is None.
        If an error occurs, all finished items are yielded before it is raised.
    """
    batches: dict[Hashable, list[tuple[int, Item]]] = {}
    running: deque[tuple[list[tuple[int, Item]], Future]] = deque()
    finished: dict[int, tuple[Item, Optional[Result]]] = {}
    following = 0

    def start(name: Hashable) -> None:
        batch = batches.pop(name)
        running.append((batch, submit(function, [item for _, item in batch])))

    def collect(limit: int) -> None:
        """Wait until at most `limit` batches are running."""
        while running and (len(running) > limit or running[0][1].done()):
            batch, future = running.popleft()
            for (index, item), result in zip(batch, future.result()):
                finished[index] = (item, result)

    with ThreadPoolExecutor(workers) as pool:
        submit = pool.submit if workers > 1 else _run_now
        try:
            for index, item in enumerate(items):
                name = key(item)
                if name is None:
                    finished[index] = (item, None)
                else:
                    batches.setdefault(name, []).append((index, item))
                    if len(batches[name]) == size:
                        start(name)
                oldest = min(batches, key=lambda name: batches[name][0][0], default=None)
                if oldest is not None and index - batches[oldest][0][0] >= patience:
                    start(oldest)
                collect(limit=workers)
                while following in finished:
                    yield finished.pop(following)
                    following += 1
            for name in list(batches):
                start(name)
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


def _run_now(function: Callable[[list[Item]], Iterable[Result]], batch: list[Item]) -> Future:
    future: Future = Future()
    future.set_result(function(batch))
    return future
