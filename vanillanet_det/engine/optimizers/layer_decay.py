"""Layer-wise learning rate decay, as in the published detection recipe, for several backbones."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Optional

from mmdet.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...errors import UserError
from ...models.backbones.archs import whole_number
from ...models.protocols import HasLayerIds

_NEVER = r"(?!)"
# These are added, not multiplied, although they have more than one dimension.
_NO_DECAY = ("relative_position_bias_table", "absolute_pos_embed")


@dataclass(frozen=True)
class _Names:
    """Patterns of a backbone's parameter names; other parameters belong to the stem.

    Attributes:
        block: Matches blocks; its groups are the stage, and the block in the stage.
        downsample: Matches downsampling layers; its group is the stage in the layer's name.
        leads_on: Number of stages between that stage and the one that the layer feeds.
        output: Matches the normalisation of the returned features.
    """

    block: str
    downsample: str = _NEVER
    leads_on: int = 0
    output: str = _NEVER


_BACKBONES = {
    "ResNet": _Names(r"layer(\d+)\.(\d+)\."),
    "SwinTransformer": _Names(
        r"stages\.(\d+)\.blocks\.(\d+)\.", r"stages\.(\d+)\.downsample\.", 1, r"norm\d+\."
    ),
    "TIMMBackbone": _Names(
        r"model\.(?:stages_|layers_|layer|blocks_)(\d+)\.(?:blocks\.)?(\d+)\.",
        r"model\.(?:stages|layers)_(\d+)\.downsample\.",
    ),
}
"""Patterns for each backbone in MMDetection's `MODELS` and for the classes derived from it."""


def layer_ids(backbone: nn.Module, num_layers: int) -> dict[str, int]:
    """Return the layer id of each parameter of a backbone.

    Args:
        backbone: A network with `layer_ids` (protocol `HasLayerIds`), such as VanillaNet; an
            MMDetection ResNet or SwinTransformer; or a TIMMBackbone.
        num_layers: Number of layers that the backbone is divided into.

    Returns:
        Ids by parameter name. If the network doesn't define them, the blocks are spread evenly over
        1 to `num_layers`; the stem has id 0, a downsampling layer has the id of the block that it
        feeds, and the normalisation of returned features has `num_layers + 1`.

    Raises:
        UserError: The backbone is not supported, or a timm backbone has unknown block names.
    """
    names = [name for name, _ in backbone.named_parameters()]
    if isinstance(backbone, HasLayerIds):
        return backbone.layer_ids(num_layers)
    known = (n for kind, n in _BACKBONES.items() if isinstance(backbone, MODELS.get(kind)))
    patterns = next(known, None)
    blocks = {name: patterns and re.match(patterns.block, name) for name in names}
    order = sorted({tuple(map(int, block.groups())) for block in blocks.values() if block})
    if not order:
        raise UserError(
            f"LayerDecay: the backbone is {type(backbone).__name__}, whose layers are not known; "
            f"expected VanillaNet, {', '.join(_BACKBONES)} or a class derived from them; remove "
            "optim_wrapper.constructor and paramwise_cfg from the config"
        )
    ids = {place: 1 + index * num_layers // len(order) for index, place in enumerate(order)}

    def layer_id(name: str) -> int:
        if blocks[name]:
            return ids[tuple(map(int, blocks[name].groups()))]
        if downsample := re.match(patterns.downsample, name):
            return ids[int(downsample.group(1)) + patterns.leads_on, 0]
        return num_layers + 1 if re.match(patterns.output, name) else 0

    return {name: layer_id(name) for name in names}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Constructor that scales learning rates by `decay_rate ** (num_layers + 1 - layer id)`.

    See `layer_ids` for the layer ids; parameters outside the backbone have `num_layers + 1`.
    Biases, other one-dimensional parameters and position embeddings get no weight decay.

    Args:
        optim_wrapper_cfg: As for MMEngine's constructor; its optimizer needs `lr`.
        paramwise_cfg: `num_layers` and `decay_rate`; the defaults are the published values, 6
            and 0.6.

    Raises:
        UserError: `paramwise_cfg` has an invalid key or value, or the optimizer has no `lr`.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        # MMEngine calls add_params only if there is a paramwise_cfg.
        paramwise_cfg = {"num_layers": 6, "decay_rate": 0.6, **(paramwise_cfg or {})}
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        num_layers, decay_rate, *others = paramwise_cfg.values()
        if others or not whole_number(num_layers, 1) or not 0 < decay_rate <= 1:
            raise UserError(
                f"LayerDecay: paramwise_cfg {paramwise_cfg}; expected only num_layers, a "
                "positive integer, and decay_rate, a number above 0 and at most 1"
            )
        if self.base_lr is None:
            raise UserError(
                f"LayerDecay: optimizer {self.optimizer_cfg} has no lr to scale; "
                "add optim_wrapper.optimizer.lr to the config"
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: object) -> None:
        """Add a detector's parameters to `params`, one group per layer id and weight decay.

        Raises:
            UserError: The layers of the detector's backbone are not known.
        """
        num_layers = self.paramwise_cfg["num_layers"]
        decay_rate = self.paramwise_cfg["decay_rate"]
        backbone = getattr(module, "backbone", nn.Identity())
        layers = {f"backbone.{k}": v for k, v in layer_ids(backbone, num_layers).items()}
        groups: dict[tuple, dict] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            layer = layers.get(name, num_layers + 1)
            # A group without its own weight decay uses the optimizer's.
            plain = parameter.ndim <= 1 or name.endswith(_NO_DECAY)
            no_decay = {"weight_decay": 0.0} if plain else {}
            scale = decay_rate ** (num_layers + 1 - layer)
            group = groups.setdefault(
                (layer, plain), {"params": [], "lr": self.base_lr * scale, **no_decay}
            )
            group["params"].append(parameter)
        params.extend(groups.values())
        print_log(_table(groups), logger="current")


def _table(groups: dict[tuple, dict]) -> str:
    """Return a table of the learning rate, tensors and parameters of each layer id."""
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
