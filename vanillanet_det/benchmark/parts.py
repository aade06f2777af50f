"""Where the time of a detector goes."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter
from typing import Any, Callable

from mmdet.models.detectors import BaseDetector
from torch import nn

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


def part_times(
    detector: BaseDetector, data: dict, repeats: int, synchronize: Callable[[], Any]
) -> dict[str, float]:
    """Time the parts of `detector.test_step`, each without the parts inside it.

    What no part computes is decoding and NMS. In a backbone it counts for the part before it,
    such as a norm between two stages. What `torch.compile(module)` gave is one part; to
    `module.compile()` the hooks would do harm.

    Args:
        detector: In evaluation mode, and warm.
        data: `inputs` and `data_samples`, as test_step takes them.
        repeats: How often to run it, at least once.
        synchronize: Waits for the device, before every reading of the clock.

    Returns:
        Median seconds by part, in the order of their computing. Each is scaled by the same
        factor, near 1, by which they add up to the median of the whole.

    Raises:
        Exception: What the detector raises. No hook stays, then as ever.
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
    """Gives the time since the last reading to the innermost part that was running."""

    def __init__(self, synchronize: Callable[[], Any]) -> None:
        self.synchronize = synchronize
        self.seconds: dict[str, float] = defaultdict(float)
        self.running = [REST]
        self.read = 0.0

    def start(self) -> None:
        self.synchronize()
        self.read = perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each part, the rest last."""
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
        if self.running[-1] != BACKBONE:  # else it began just now, for its first part
            self._turn()
        self.running[-1] = part

    def watch(self, detector: BaseDetector, hooks: ExitStack) -> None:
        """Put hooks on all parts, which go with the stack."""

        def before(module: nn.Module, do: Callable[[str], None], part: str) -> None:
            # In front of the hooks that the module has, whose time is its own.
            handle = module.register_forward_pre_hook(lambda *_: do(part), prepend=True)
            hooks.enter_context(handle)

        for part, module in _parts(detector):
            before(module, self.enter, part)
            hooks.enter_context(module.register_forward_hook(lambda *_: self.leave()))
        for part, module in _backbone_parts(detector.backbone):
            before(module, self.change, part)


def _parts(detector: BaseDetector) -> Iterator[tuple[str, nn.Module]]:
    """Name the parts of a detector, its backbone as a whole."""
    for name, module in _opened(detector):
        if name == "roi_head":
            for inner, part in _opened(module):
                yield _ROI_NAMES.get(inner.split(".")[0], inner), part
        else:
            yield _NAMES.get(name, name), module


def _backbone_parts(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Name the stages of a backbone and what is in front of them, or all of its children."""
    children = list(_opened(backbone))
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
        elif number == 0 or name.startswith("stem"):  # a fused VanillaNet's is its last child
            parts.append((f"{BACKBONE} stem", module))
    return parts


def _opened(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Children, and in place of lists what they hold, since nobody calls a list."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{key}", inner) for key, inner in _opened(child))
        else:
            yield name, child
