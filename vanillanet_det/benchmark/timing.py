"""Timing of candidates in alternating rounds, and of the parts of a detector."""

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Optional

from mmdet.models.detectors import BaseDetector
from torch import nn

LEAST_ROUNDS = 5
_WAIT, _MOST_WAITS = 0.002, 100
REST = "decode and NMS"
BACKBONE = "backbone"
_NAMES = {
    "data_preprocessor": "pre-processing",
    "bbox_head": "head",
    "rpn_head": "RPN head",
    "mask_head": "mask head",
}
_ROI_NAMES = {
    "bbox_roi_extractor": "RoI pooling",
    "mask_roi_extractor": "RoI pooling",
    "bbox_head": "box head",
    "mask_head": "mask head",
    "shared_head": "shared head",
}
_STAGE = re.compile(r"(layer|stages?)[._]?\d+")


def seconds_of(call: Callable[[], object], synchronize: Callable[[], None]) -> float:
    """Time one call, from an idle device and processor to an idle device."""
    synchronize()
    _wait_for_threads()
    begin = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - begin


def _wait_for_threads() -> None:
    """Wait until the threads of the previous candidate are idle.

    The threads spin for milliseconds waiting for work, and would slow the next candidate down.
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

    The load and temperature of a machine change within seconds. Since candidates take turns, such a
    change affects all of them, and cancels out in the ratios of times within a round.

    Args:
        calls: The candidates, warmed up; each is called with the number of the round.
        synchronize: Function that waits for the device.
        budget: Seconds after which no new round begins, once there are `LEAST_ROUNDS`.
        rounds: Number of rounds, regardless of time.
        progress: Called before each measurement, with the index of the candidate and the completed
            share of all measurements.

    Returns:
        The times of each candidate in seconds, one per round.
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


def part_times(
    detector: BaseDetector, data: dict, repeats: int, synchronize: Callable[[], Any]
) -> dict[str, float]:
    """Time the parts of `detector.test_step`, each without the parts inside it.

    Time outside of all parts counts as decoding and NMS. Inside a backbone, time between two parts,
    such as that of a norm between two stages, counts towards the first of them. A module from
    `torch.compile(module)` is one part; the hooks would break `module.compile()`.

    Args:
        detector: A detector in evaluation mode, warmed up.
        data: `inputs` and `data_samples`, in the format of `test_step`.
        repeats: Number of runs, at least one.
        synchronize: Function that waits for the device, before every reading of the clock.

    Returns:
        Median seconds by part, in order of execution. All are scaled by the same factor, near
        1, so that they add up to the median of the whole.

    Raises:
        Exception: Whatever the detector raises. The hooks are removed in any case.
    """
    runs = []
    for _ in range(repeats):
        clock = _Clock(synchronize)
        with ExitStack() as hooks:
            clock.watch(detector, hooks)
            clock.start()
            detector.test_step(data)
            runs.append(clock.stop())
    medians = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    whole = statistics.median(sum(run.values()) for run in runs)
    factor = whole / sum(medians.values())
    return {part: factor * seconds for part, seconds in medians.items()}


class _Clock:
    """Clock that attributes the time since its last reading to the innermost running part."""

    def __init__(self, synchronize: Callable[[], Any]) -> None:
        self.synchronize = synchronize
        self.seconds: dict[str, float] = defaultdict(float)
        self.running = [REST]
        self.read = 0.0

    def start(self) -> None:
        self.synchronize()
        self.read = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each part, with the rest last."""
        self._turn()
        rest = self.seconds.pop(REST)
        return {**self.seconds, REST: rest}

    def _turn(self) -> None:
        since = self.read
        self.start()
        self.seconds[self.running[-1]] += self.read - since

    def enter(self, part: str) -> None:
        self._turn()
        self.running.append(part)

    def leave(self) -> None:
        self._turn()
        self.running.pop()

    def change(self, part: str) -> None:
        if self.running[-1] != BACKBONE:  # else the first part begins with the backbone
            self._turn()
        self.running[-1] = part

    def watch(self, detector: BaseDetector, hooks: ExitStack) -> None:
        """Register hooks on all parts; closing the stack removes them."""

        def before(module: nn.Module, do: Callable[[str], None], part: str) -> None:
            # The hook runs before the module's other hooks, whose time counts towards the module.
            handle = module.register_forward_pre_hook(lambda *_: do(part), prepend=True)
            hooks.enter_context(handle)

        for part, module in _parts(detector):
            before(module, self.enter, part)
            hooks.enter_context(module.register_forward_hook(lambda *_: self.leave()))
        for part, module in _backbone_parts(detector.backbone):
            before(module, self.change, part)


def _parts(detector: BaseDetector) -> Iterator[tuple[str, nn.Module]]:
    """Yield each part of a detector with its name; the backbone is one part."""
    for name, module in _children(detector):
        if name == "roi_head":
            for inner, part in _children(module):
                yield _ROI_NAMES.get(inner.split(".")[0], inner), part
        else:
            yield _NAMES.get(name, name), module


def _backbone_parts(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return a backbone's stem and stages, or all of its children if it has no stages."""
    children = list(_children(backbone))
    if len(children) == 1:  # such as timm's networks
        return _backbone_parts(children[0][1])
    stages = [bool(_STAGE.fullmatch(name)) for name, _ in children]
    if not any(stages):
        return [(f"{BACKBONE} {name}", module) for name, module in children]
    number, parts = 0, []
    for is_stage, (name, module) in zip(stages, children):
        number += is_stage
        if is_stage:
            parts.append((f"{BACKBONE} stage {number}", module))
        elif number == 0 or name.startswith("stem"):  # the last child of a fused VanillaNet
            parts.append((f"{BACKBONE} stem", module))
    return parts


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the children, replacing module lists by their items, as lists are never called."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{key}", inner) for key, inner in _children(child))
        else:
            yield name, child
