"""Layer-wise learning rate decay, as in the published detection recipe, for every backbone."""

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
# No factors of a product, though they have more than one dimension.
_NO_DECAY = ("relative_position_bias_table", "absolute_pos_embed")


@dataclass(frozen=True)
class _Names:
    """Patterns of a backbone's parameter names; what matches none belongs to the stem.

    Attributes:
        block: Groups are the stage and the block in it.
        downsample: The group is the stage whose number it bears.
        leads_on: How many stages later the features are that it makes.
        output: Normalisation of the returned features.
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
"""Backbone of MMDetection's `MODELS`, with those derived from it -> its names."""


def layer_ids(backbone: nn.Module, num_layers: int) -> dict[str, int]:
    """Give the layer id of each parameter of a backbone.

    Args:
        backbone: A network with `layer_ids` (protocol `HasLayerIds`), such as VanillaNet; an
            MMDetection ResNet or SwinTransformer; or a TIMMBackbone.
        num_layers: Layers that the backbone is divided into.

    Returns:
        Ids by name. Where the network doesn't tell them, the blocks are spread evenly over 1 to
        `num_layers`; the stem has 0, a downsampling layer the id of the block it leads to, and
        the normalisation of returned features `num_layers + 1`.

    Raises:
        UserError: Another backbone, or one of timm's whose blocks have other names.
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
            f"LayerDecay: the backbone is {type(backbone).__name__} and its layers are not known; "
            f"expected VanillaNet, {', '.join(_BACKBONES)} or one derived from them; take "
            "optim_wrapper.constructor and paramwise_cfg out of the config"
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
    """Scale the learning rate by `decay_rate ** (num_layers + 1 - layer id)`.

    Layer ids are those of `layer_ids`; all outside the backbone has `num_layers + 1`. Biases,
    other one-dimensional parameters and position embeddings get no weight decay.

    Args:
        optim_wrapper_cfg: As for mmengine's constructor; its optimizer needs `lr`.
        paramwise_cfg: `num_layers` and `decay_rate`; the published values, 6 and 0.6, unless
            given.

    Raises:
        UserError: Another key or value in `paramwise_cfg`, or an optimizer without `lr`.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        # mmengine asks for groups only if there is a paramwise_cfg.
        paramwise_cfg = {"num_layers": 6, "decay_rate": 0.6, **(paramwise_cfg or {})}
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        num_layers, decay_rate, *others = paramwise_cfg.values()
        if others or not whole_number(num_layers, 1) or not 0 < decay_rate <= 1:
            raise UserError(
                f"LayerDecay: paramwise_cfg {paramwise_cfg}; expected num_layers, a whole "
                "number from 1, decay_rate, above 0 and at most 1, and nothing else"
            )
        if self.base_lr is None:
            raise UserError(
                f"LayerDecay: optimizer {self.optimizer_cfg} has no lr; expected one to scale; "
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
            # A group that doesn't name its weight decay gets the optimizer's.
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
