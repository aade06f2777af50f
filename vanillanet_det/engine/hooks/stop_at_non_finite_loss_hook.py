"""Training stops when the loss is infinite or NaN."""

import math
from collections.abc import Iterator
from typing import Any, Optional

from mmdet.registry import HOOKS
from mmengine.dist import get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...checkpoints import find_finite
from ...errors import UserError

_MOST_IMAGES = 8


@HOOKS.register_module()
class StopAtNonFiniteLossHook(Hook):
    """Stop training at the first loss that is infinite or NaN.

    By then, the optimizer has written NaN into every weight, so further training is useless. In
    float16, the scaler skips such a step, but BatchNorm's statistics still include the batch. The
    error lists the non-finite terms of the loss, the images of the batch, and the newest checkpoint
    whose numbers are all finite. The hook also prevents non-finite weights from being saved,
    because the gradient of a finite loss may be infinite.

    The loss is read from the scalars of MMEngine's RuntimeInfoHook, which avoids another
    synchronisation with the GPU. In a distributed run, any rank may stop training.
    """

    # After RuntimeInfoHook (VERY_HIGH), before the hooks that use or save the weights.
    priority = "HIGH"

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Check the loss.

        Raises:
            UserError: The loss is not finite.
        """
        if outputs is None or math.isfinite(_read(runner, outputs, "loss")):
            return
        losses = {name: _read(runner, outputs, name) for name in outputs if "loss" in name}
        terms = [f"{name} {value}" for name, value in losses.items() if not math.isfinite(value)]
        images = list(dict.fromkeys(_image_paths(data_batch)))
        more = f" and {len(images) - _MOST_IMAGES} more" if len(images) > _MOST_IMAGES else ""
        raise UserError(
            f"{_when(runner)}: the loss is not finite: {', '.join(terms)}.\n"
            f"Images of this batch: {', '.join(images[:_MOST_IMAGES]) or 'unknown'}{more}.\n"
            f"{_remedy(runner)}"
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights.

        Raises:
            UserError: A weight is not finite; nothing is saved.
        """
        for name, tensor in runner.model.state_dict().items():
            if not tensor.isfinite().all():
                raise UserError(
                    f"{_when(runner)}: {name} is not finite, so nothing was saved: the loss was "
                    "finite, but its gradient or the statistics of a BatchNorm were not.\n"
                    f"{_remedy(runner)}"
                )


def _read(runner: Runner, outputs: dict, name: str) -> float:
    scalars = runner.message_hub.log_scalars
    key = f"train/{name}"
    return scalars[key].current() if key in scalars else float(outputs.get(name, 0.0))


def _when(runner: Runner) -> str:
    rank = f"rank {get_rank()}, " if is_distributed() else ""
    return f"{rank}iteration {runner.iter + 1} (epoch {runner.epoch + 1})"


def _image_paths(node: Any) -> Iterator[str]:
    """Yield the paths of the images in a collated batch."""
    if hasattr(node, "metainfo"):
        yield str(node.metainfo.get("img_path", "without img_path"))
    elif isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _image_paths(child)


def _remedy(runner: Runner) -> str:
    path = find_finite(runner.work_dir)
    if path is None:
        return (
            f"There is no checkpoint in {runner.work_dir} to resume from: inspect these images "
            "and their boxes, then start again with a lower learning rate "
            "(optim_wrapper.optimizer.lr) or clipped gradients (optim_wrapper.clip_grad)."
        )
    return (
        f"Last good checkpoint: {path}. Inspect these images and their boxes, then resume with "
        f"clipped gradients (--resume {path} --cfg-options optim_wrapper.clip_grad.max_norm=1) "
        "or a lower learning rate (optim_wrapper.optimizer.lr=LOWER)."
    )
