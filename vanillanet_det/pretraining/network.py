"""The network of a pretraining run."""

from typing import Any, Optional

from mmengine.config import ConfigDict

from ..configs import read_config_file, type_name
from ..errors import UserError
from ..installation import locate_config
from ..models.backbones import ARCHS
from ..models.backbones.archs import resolve_arch
from .options import PretrainOptions

_SMALL = ("nano", "small", "base")  # detectors of fine-tuning
_KEPT = ("arch", "act_num", "in_channels", "ada_pool", "stem_stride", "stem_padding")


def published_arch(model: str) -> Optional[str]:
    """Return the published arch that `vanillanet5` and the like name; None for other names."""
    name = model.removeprefix("vanillanet").lstrip("_")
    return name if model.startswith("vanillanet") and name in ARCHS else None


def network_config(options: PretrainOptions, num_classes: int) -> dict:
    """Build the config of a classification network.

    Raises:
        UserError: There is no such network.
    """
    default = 0.0 if options.vanilla else 0.05
    dropout = default if options.drop_rate is None else options.drop_rate
    if ":" in options.model:
        library = options.model.partition(":")[0]
        if library not in ("timm", "torchvision") and options.model != "narrow:alexnet":
            raise UserError(f"--model {options.model}: expected timm:NAME or torchvision:NAME")
        if options.width is not None:
            raise UserError(f"--width {options.width}: {options.model} has a width of its own")
        for flag in ("shortcuts", "sync_bn"):
            if getattr(options, flag):
                raise UserError(f"--{flag.replace('_', '-')}: only for VanillaNet")
        if options.act_num is not None and not options.vanilla:
            raise UserError(f"--act-num {options.act_num}: only with --vanilla, or for VanillaNet")
        if dropout and library == "torchvision" and options.drop_rate is not None:
            raise UserError(f"--drop-rate {dropout:g}: torchvision's networks have their own")
        return dict(
            type="library_classifier",
            name=options.model,
            num_classes=num_classes,
            vanilla=options.vanilla,
            act_num=3 if options.act_num is None else options.act_num,
            dropout=dropout,
        )
    if options.vanilla:
        raise UserError(f"--vanilla: {options.model} has both ideas already; omit it")
    numbers = _vanillanet(options.model)
    if options.width is not None:
        arch = {k: v for k, v in vars(resolve_arch(numbers["arch"])).items() if k != "name"}
        factor = options.width / arch["dims"][0]
        numbers["arch"] = dict(arch, dims=[max(1, round(factor * each)) for each in arch["dims"]])
    if options.act_num is not None:
        numbers["act_num"] = options.act_num
    return dict(
        type="ShortcutClassifier" if options.shortcuts else "VanillaNetClassifier",
        num_classes=num_classes,
        dropout=dropout,
        norm_cfg=dict(type="SyncBN" if options.sync_bn else "BN"),
        **numbers,
    )


def _vanillanet(model: str) -> dict[str, Any]:
    """Return the arguments that a name stands for."""
    if (arch := published_arch(model)) is not None:
        return dict(arch=arch)
    name = f"{model}_digits" if model in _SMALL else model
    if locate_config(name) is None:
        raise UserError(
            f"--model {model}: expected vanillanet5 to vanillanet13, vanillanet13_x1_5, "
            "vanillanet13_x1_5_ada_pool, a detector such as small, timm:NAME or torchvision:NAME"
        )
    backbone = (read_config_file(name).get("model") or {}).get("backbone") or {}
    if type_name(backbone) != "VanillaNet":
        raise UserError(f"--model {model}: its backbone is {type_name(backbone)}, not VanillaNet")
    kept = {key: backbone[key] for key in _KEPT if key in backbone}
    return ConfigDict(kept).to_dict()
