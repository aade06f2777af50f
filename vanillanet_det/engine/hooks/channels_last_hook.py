"""Training in channels-last memory format."""

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep convolution kernels in channels-last format during training.

    The output of a PyTorch convolution has the memory format of its kernel, so the whole network
    runs in channels-last format. Results are the same up to rounding. On CPUs, the large depthwise
    kernels of VanillaNet train several times as fast.
    """

    def before_train(self, runner: Runner) -> None:
        """Convert the model in place; optimizer and averaged weights keep their references."""
        model = runner.model
        if is_model_wrapper(model):
            # Wrap the model again: DistributedDataParallel lays out its buckets on construction,
            # and computes wrong gradients if a parameter's strides change afterwards.
            model.module.to(memory_format=torch.channels_last)
            runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), model.module)
            if "train_step" in vars(model):  # compiled
                runner._maybe_compile("train_step")
        else:
            model.to(memory_format=torch.channels_last)
