"""BatchNorm statistics of averaged weights that are equal in all ranks."""

from mmdet.registry import HOOKS
from mmengine.dist import all_reduce_params
from mmengine.hooks import SyncBuffersHook
from mmengine.runner import Runner
from torch import nn


@HOOKS.register_module()
class SyncAveragesHook(SyncBuffersHook):
    """MMEngine's SyncBuffersHook, which also averages the buffers of averaged models.

    Without it, each rank would validate its own average, and rank 0's would be saved.
    """

    def after_train_epoch(self, runner: Runner) -> None:
        """Average the buffers over all ranks at the end of each epoch."""
        super().after_train_epoch(runner)
        averaged = (getattr(hook, "ema_model", None) for hook in runner.hooks)
        for model in averaged if self.distributed else ():
            if isinstance(model, nn.Module):
                all_reduce_params(model.module.buffers(), op="mean")
