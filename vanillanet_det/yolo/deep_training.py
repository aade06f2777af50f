"""Deep training in Ultralytics' trainers: lambda rises to 1 in the first part of training."""

import math
from typing import Any

from torch import nn
from ultralytics.models.yolo import detect, segment
from ultralytics.utils import LOGGER

from ..errors import UserError
from ..models.layers.act_lambda import lambda_modules, set_act_lambda

SHARE_KEY = "deep_training"
"""Key in a model YAML: the share of training in which lambda rises to 1; 0 for none."""
_START_KEY = "deep_training_start"  # kept in the checkpoints' copy of the YAML, for resuming


class _DeepTraining:
    """Mixin for trainers that sets lambda at the start of every epoch.

    Lambda rises from 0, or from that of the weights that training starts from; published weights
    have lambda 1. The averaged weights, which Ultralytics validates and saves, have the network's
    lambda: an average of lambdas would stay below 1, where nothing can be fused.
    """

    def run_callbacks(self, event: str) -> None:
        """Set lambda where epochs start and end, and call the callbacks of an event."""
        if event == "on_train_start":
            self._start_deep_training()
        elif event in ("on_train_epoch_start", "on_train_epoch_end"):  # end: averaged meanwhile
            self._set_lambda()
        super().run_callbacks(event)
        if event == "on_train_end":
            self._report_lambda()

    def _start_deep_training(self) -> None:
        network = _unwrap(self.model)
        modules = [module for module in lambda_modules(network) if module.has_lambda]
        if not modules:
            return
        share = network.yaml.get(SHARE_KEY, 0)
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise UserError(
                f"{network.yaml.get('yaml_file', 'model')}: {SHARE_KEY} {share!r}; expected the "
                "share of training in which lambda rises, at least 0 and below 1"
            )
        # A resumed run continues with the start that its checkpoint holds.
        if not self.start_epoch:
            loaded = all(module.has_loaded for module in modules)
            start = min(m.read_lambda() for m in modules) if loaded or not share else 0.0
            network.yaml[_START_KEY] = start
        if network.yaml.get(_START_KEY, 1.0) < 1:
            end = _end_epoch(share, self.epochs)
            LOGGER.info(f"VanillaNet: lambda rises to 1 until epoch {end + 1} (deep training)")

    def _set_lambda(self) -> None:
        network = _unwrap(self.model)
        start = network.yaml.get(_START_KEY, 1.0)
        end = _end_epoch(network.yaml.get(SHARE_KEY, 0), self.epochs)
        # Exactly 1 at the end, which fusion requires.
        value = 1.0 if self.epoch >= end else start + (1 - start) * self.epoch / end
        if self.epoch > self.start_epoch:  # with `time`, the number of epochs is estimated again
            value = max([value, *(m.read_lambda() for m in lambda_modules(network))])
        for model in (network, getattr(self.ema, "ema", None)):
            if model is not None:
                set_act_lambda(model, value)

    def _report_lambda(self) -> None:
        if any(module.read_lambda() < 1 for module in lambda_modules(_unwrap(self.model))):
            LOGGER.warning(
                "VanillaNet: training ended before lambda was 1, so the network can't be fused; "
                f"train longer, or set {SHARE_KEY} lower in the model's YAML"
            )


def _end_epoch(share: float, epochs: int) -> int:
    """Return the epoch, counted from 0, from which on lambda is 1."""
    return min(math.ceil(share * epochs), epochs - 1)


def _unwrap(model: nn.Module) -> Any:
    """Return the network inside DistributedDataParallel and torch.compile."""
    while hasattr(model, "module") or hasattr(model, "_orig_mod"):
        model = model.module if hasattr(model, "module") else model._orig_mod
    return model


class DetectionTrainer(_DeepTraining, detect.DetectionTrainer):
    """Ultralytics' trainer of detectors, with deep training."""


class SegmentationTrainer(_DeepTraining, segment.SegmentationTrainer):
    """Ultralytics' trainer of segmentation models, with deep training."""
