"""MMEngine's loops, extended to clean up after an error and to evaluate what is deployed.

However a loop ends, it calls `end_train(runner)`, `end_val(runner)` or `end_test(runner)` of the
hooks. MMEngine's loops call no hook if an epoch raises an error.

MMDetection pads the images of a batch to the largest one. Networks see this padding, so an image's
detections would depend on its neighbours in the batch, and the AP wouldn't be that of the deployed
detector. Here, each size of images is evaluated by itself.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Callable

import torch
from mmdet.registry import LOOPS
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop, autocast
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError
from .workers import shield_workers, stop_workers


class GuardedLoop:
    """A loop that shields its dataloader workers from signals, and calls the hooks when it ends.

    The workers of a validation during training live until the training ends.
    """

    _mode = ""

    def __init__(self, runner: Runner, dataloader: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, shield_workers(dataloader, runner.seed), *args, **kwargs)
        with suppress(TypeError):  # iterable datasets have no length
            if not len(self.dataloader):
                raise UserError(
                    f"{self._mode}_dataloader: its {len(self.dataloader.dataset)} images don't "
                    "fill a batch, and drop_last discards incomplete ones; lower batch_size, or "
                    "set drop_last=False"
                )

    def run(self) -> Any:
        """Run the loop, then always call `end_train`, `end_val` or `end_test` of the hooks."""
        try:
            return self._run()
        finally:
            self.runner.call_hook(f"end_{self._mode}")
            if self._mode != "val":
                for loop in (self, getattr(self.runner, "_val_loop", None)):
                    if isinstance(loop, BaseLoop):
                        stop_workers(loop.dataloader)

    def _run(self) -> Any:
        return super().run()


class _EvaluationLoop(GuardedLoop):
    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Evaluate a batch as MMEngine does, but each size of images by itself."""
        model, mode = self.runner.model, self._mode
        groups = group_by_size(model, data_batch)
        if len(groups) < 2:
            super().run_iter(idx, data_batch)
            return
        self.runner.call_hook(f"before_{mode}_iter", batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs = run_groups(getattr(model, f"{mode}_step"), data_batch, groups)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            f"after_{mode}_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs
        )


@LOOPS.register_module()
class GuardedValLoop(_EvaluationLoop, ValLoop):
    """MMEngine's ValLoop, in which `end_val` is always called and no image pads another."""

    _mode = "val"


@LOOPS.register_module()
class GuardedTestLoop(_EvaluationLoop, TestLoop):
    """MMEngine's TestLoop, in which `end_test` is always called and no image pads another."""

    _mode = "test"


def group_by_size(model: nn.Module, data: Any) -> list[list[int]]:
    """Group the images of a batch that the model pads to the same size.

    Args:
        model: A detector, or its wrapper for several processes or for test-time augmentation.
        data: Batch of a dataloader: `inputs` is a list of images `(C, H, W)`, or, for test-time
            augmentation, a list of views that are such lists.

    Returns:
        Indices of the images in each group, in order. None of a batch that is already one tensor,
        or if processes share the parameters and so must call the model equally often.
    """
    if is_model_wrapper(model) and not isinstance(model, DistributedDataParallel):
        return []
    inputs = data.get("inputs") if isinstance(data, dict) else None
    views = inputs if _has_views(data) else [inputs]
    if not all(_is_images(view) for view in views):
        return []
    divisor = _divisor(model)
    groups: dict[Any, list[int]] = {}
    for index, images in enumerate(zip(*views)):
        sizes = [tuple(-(-side // divisor) for side in image.shape[-2:]) for image in images]
        groups.setdefault(tuple(sizes), []).append(index)
    return list(groups.values())


def run_groups(
    step: Callable[[dict], Sequence[Any]], data: dict, groups: Sequence[Sequence[int]]
) -> list[Any]:
    """Run a model's `val_step` or `test_step` on each group of a batch.

    Returns:
        The results, in the order of the batch.
    """
    outputs: dict[int, Any] = {}
    has_views = _has_views(data)
    for indices in groups:
        part = {
            key: [_select(view, indices) for view in value]
            if has_views
            else _select(value, indices)
            for key, value in data.items()
        }
        outputs.update(zip(indices, step(part)))
    return [outputs[index] for index in sorted(outputs)]


def _has_views(data: Any) -> bool:
    """Return whether a batch is for test-time augmentation."""
    inputs = data.get("inputs") if isinstance(data, dict) else None
    is_list = isinstance(inputs, (list, tuple)) and len(inputs) > 0
    return is_list and isinstance(inputs[0], (list, tuple))


def _is_images(view: Any) -> bool:
    return isinstance(view, (list, tuple)) and all(
        isinstance(image, Tensor) and image.ndim == 3 for image in view
    )


def _divisor(model: Any) -> int:
    """Return the number of pixels that the model pads the sides of an image to a multiple of."""
    while model is not None:
        preprocessor = getattr(model, "data_preprocessor", None)
        if hasattr(preprocessor, "pad_size_divisor"):
            return preprocessor.pad_size_divisor
        model = getattr(model, "module", None)
    return 1


def _select(values: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    return [values[index] for index in indices]
