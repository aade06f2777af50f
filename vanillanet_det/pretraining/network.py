"""The network of a pretraining run."""

from typing import Any, Optional

from mmengine.config import ConfigDict

from ..configs import read_config_file, type_name
from ..errors import UserError
from ..installation import locate_config
from ..models.backbones import ARCHS
from ..models.backbones.archs import resolve_arch
from ..models.backbones.state_dict import ARGUMENTS, SERIES
from .options import PretrainOptions
from .recipes import GRESNETS

_SMALL = ("nano", "small", "base")  # detectors of fine-tuning


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
    given = {name: getattr(options, name) for name in SERIES}
    series = {name: value for name, value in given.items() if value is not None}
    if ":" in options.model:
        library = options.model.partition(":")[0]
        if library not in ("timm", "torchvision", "narrow"):
            raise UserError(f"--model {options.model}: expected timm:NAME or torchvision:NAME")
        if options.width is not None:
            raise UserError(f"--width {options.width}: {options.model} has a width of its own")
        for flag in ("shortcuts", "sync_bn"):
            if getattr(options, flag):
                raise UserError(f"--{flag.replace('_', '-')}: only for VanillaNet")
        for name in series if not options.vanilla else ():
            raise UserError(f"{_flag(name, options)}: only with --vanilla, or for VanillaNet")
        if options.drop_rate and library != "timm":
            raise UserError(f"--drop-rate {options.drop_rate:g}: only for timm's networks")
        if options.drop_path and not options.model.startswith(("timm:", "narrow:resnet50")):
            raise UserError(f"--drop-path {options.drop_path:g}: {options.model} has none")
        return dict(
            type="library_classifier",
            name=options.model,
            num_classes=num_classes,
            vanilla=options.vanilla,
            dropout=dropout,
            drop_path=options.drop_path,
            **series,
        )
    if options.model in GRESNETS:
        return _gresnet(options, num_classes, series)
    if options.vanilla:
        raise UserError(f"--vanilla: {options.model} has both ideas already; omit it")
    if options.drop_path:
        raise UserError(f"--drop-path {options.drop_path:g}: VanillaNet has no blocks to skip")
    numbers = _vanillanet(options.model)
    if options.width is not None:
        arch = {k: v for k, v in vars(resolve_arch(numbers["arch"])).items() if k != "name"}
        factor = options.width / arch["dims"][0]
        numbers["arch"] = dict(arch, dims=[max(1, round(factor * each)) for each in arch["dims"]])
    numbers |= series
    return dict(
        type="ShortcutClassifier" if options.shortcuts else "VanillaNetClassifier",
        num_classes=num_classes,
        dropout=dropout,
        norm_cfg=dict(type="SyncBN" if options.sync_bn else "BN"),
        **numbers,
    )


def _flag(name: str, options: PretrainOptions) -> str:
    """Return the flag of an option that was given."""
    value, flag = getattr(options, name), name.replace("_", "-")
    return f"--no-{flag}" if value is False else f"--{flag}{'' if value is True else f' {value}'}"


def _gresnet(options: PretrainOptions, num_classes: int, series: dict[str, Any]) -> dict:
    switches = [name for name in ("vanilla", "shortcuts") if getattr(options, name)]
    for name in (*switches, *series):
        raise UserError(f"{_flag(name, options)}: not for {options.model}; omit it")
    return dict(
        type="GResNetClassifier",
        depth=int(options.model.removeprefix("gresnet")),
        num_classes=num_classes,
        dropout=options.drop_rate or 0.0,
        drop_path=options.drop_path,
        width=options.width or 64,
        norm_cfg=dict(type="SyncBN" if options.sync_bn else "BN"),
    )


def _vanillanet(model: str) -> dict[str, Any]:
    """Return the arguments that a name stands for."""
    if (arch := published_arch(model)) is not None:
        return dict(arch=arch)
    name = f"{model}_digits" if model in _SMALL else model
    if locate_config(name) is None:
        raise UserError(
            f"--model {model}: expected vanillanet5 to vanillanet13, vanillanet13_x1_5, "
            f"vanillanet13_x1_5_ada_pool, {', '.join(GRESNETS)}, a detector such as small, "
            "timm:NAME or torchvision:NAME"
        )
    backbone = (read_config_file(name).get("model") or {}).get("backbone") or {}
    if type_name(backbone) != "VanillaNet":
        raise UserError(f"--model {model}: its backbone is {type_name(backbone)}, not VanillaNet")
    kept = {key: backbone[key] for key in ARGUMENTS if key in backbone}
    return ConfigDict(kept).to_dict()
