"""Training in channels-last memory format."""

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep convolution kernels in channels-last format while training.

    PyTorch's convolutions hand their kernel's format on to their output, so the whole network
    follows. The numbers stay the same but for rounding; on CPUs the large depthwise kernels of
    VanillaNet train several times as fast in it.
    """

    def before_train(self, runner: Runner) -> None:
        """Convert the model in place; optimizer and averaged weights keep their references."""
        runner.model.to(memory_format=torch.channels_last)
