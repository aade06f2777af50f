"""Times that can be compared: all candidates in turn, in each round."""

import time
from collections.abc import Callable, Sequence
from typing import Optional

LEAST_ROUNDS = 5
_WAIT, _MOST_WAITS = 0.002, 100


def seconds_of(call: Callable[[], object], synchronize: Callable[[], None]) -> float:
    """Time one call, from an idle device and processor to an idle device."""
    synchronize()
    _wait_for_threads()
    begin = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - begin


def _wait_for_threads() -> None:
    """Wait until the threads of what ran before have stopped to look for more work.

    They look for milliseconds, and would do so in the time of whoever is next.
    """
    for _ in range(_MOST_WAITS):
        before = time.process_time()
        time.sleep(_WAIT)
        if time.process_time() - before < _WAIT / 10:
            return


def interleaved(
    calls: Sequence[Callable[[int], object]],
    synchronize: Callable[[], None],
    budget: float,
    rounds: Optional[int] = None,
    progress: Callable[[int, float], None] = lambda index, share: None,
) -> list[list[float]]:
    """Time candidates, each once in every round.

    What else a machine does, and how warm it is, changes in seconds. In turn, it falls on all
    candidates, and the ratios of their times within a round keep out of it.

    Args:
        calls: The candidates, warmed up; each takes the number of the round.
        synchronize: Waits for the device.
        budget: Seconds after which no new round begins, once there are `LEAST_ROUNDS`.
        rounds: How many rounds, whatever they take.
        progress: Called before each measurement, with the number of the candidate and the
            share that is done.

    Returns:
        For each candidate its seconds, one for each round.
    """
    times: list[list[float]] = [[] for _ in calls]
    begin = time.perf_counter()
    number = 0
    while True:
        spent = time.perf_counter() - begin
        if number >= (rounds or LEAST_ROUNDS) and (rounds or spent >= budget):
            return times
        for index, call in enumerate(calls):
            within = (number + index / len(calls)) / (rounds or LEAST_ROUNDS)
            if rounds is None:
                within = min(within, (time.perf_counter() - begin) / budget)
            progress(index, min(within, 1.0))
            times[index].append(seconds_of(lambda: call(number), synchronize))  # noqa: B023
        number += 1
