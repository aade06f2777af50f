"""Layer-wise learning rate decay with the layer ids of the published detection recipe."""

import re
from collections import Counter
from typing import Optional

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..backbones import VanillaNet
from ..errors import UserError


def vanillanet_layer_id(name: str, num_layers: int) -> int:
    """Give the layer id of a detector's parameter.

    Args:
        name: Name of the parameter, such as `backbone.stages.3.conv1.0.weight`.
        num_layers: Layers the backbone is divided into.

    Returns:
        0 for the stem, `s // 2 + 1` for stage `s` (from 0), at most `num_layers`;
        `num_layers + 1` for everything outside the backbone.
    """
    if not name.startswith("backbone."):
        return num_layers + 1
    stage = re.match(r"backbone\.stages\.(\d+)\.", name)
    return min(int(stage.group(1)) // 2 + 1, num_layers) if stage else 0


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class VanillaNetLayerDecay(DefaultOptimWrapperConstructor):
    """Scale the learning rate by `decay_rate ** (num_layers + 1 - layer id)`.

    Biases and other one-dimensional parameters get no weight decay.

    Args:
        optim_wrapper_cfg: As for mmengine's constructor; its optimizer needs `lr`.
        paramwise_cfg: `num_layers` and `decay_rate`; the published values, 6 and 0.6, unless
            given.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        # mmengine asks for groups only if there is a paramwise_cfg.
        paramwise_cfg = {"num_layers": 6, "decay_rate": 0.6, **(paramwise_cfg or {})}
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if self.base_lr is None:
            raise UserError(
                f"VanillaNetLayerDecay: optimizer {self.optimizer_cfg} has no lr but expected one "
                "to scale; add optim_wrapper.optimizer.lr to the config"
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: object) -> None:
        """Add a detector's parameters to `params`, one group per layer id and weight decay.

        Raises:
            UserError: The detector's backbone is no VanillaNet.
        """
        backbone = getattr(module, "backbone", None)
        if not isinstance(backbone, VanillaNet):
            raise UserError(
                f"VanillaNetLayerDecay: the backbone is {type(backbone).__name__} but expected "
                "VanillaNet; take optim_wrapper.constructor out of the config"
            )
        num_layers = self.paramwise_cfg["num_layers"]
        decay_rate = self.paramwise_cfg["decay_rate"]
        groups: dict[tuple, dict] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            layer = vanillanet_layer_id(name, num_layers)
            # A group that doesn't name its weight decay gets the optimizer's.
            no_decay = {"weight_decay": 0.0} if parameter.ndim <= 1 else {}
            scale = decay_rate ** (num_layers + 1 - layer)
            group = groups.setdefault(
                (layer, bool(no_decay)), {"params": [], "lr": self.base_lr * scale, **no_decay}
            )
            group["params"].append(parameter)
        params.extend(groups.values())
        print_log(_table(groups), logger="current")


def _table(groups: dict[tuple, dict]) -> str:
    """List learning rate, tensors and parameters of each layer id."""
    rates, tensors, numbers = {}, Counter(), Counter()
    for (layer, _), group in groups.items():
        rates[layer] = group["lr"]
        tensors[layer] += len(group["params"])
        numbers[layer] += sum(parameter.numel() for parameter in group["params"])
    rows = [
        f"{layer:5}  {rate:9.3e}  {tensors[layer]:7}  {numbers[layer] / 1e6:8.2f}"
        for layer, rate in sorted(rates.items())
    ]
    return "\n".join(["Learning rates by layer:", "layer         lr  tensors  params M", *rows])
