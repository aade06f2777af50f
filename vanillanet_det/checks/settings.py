"""Checks the numbers that a config sets: of images, batches, workers and epochs."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.registry import TRANSFORMS
from mmengine.config import Config

from ..configs import type_name
from ..models.backbones.archs import whole_number
from .datasets import leaf_datasets
from .finding import ERROR, Finding

# Keys of image sizes, by transform.
_SIZES = {
    "Resize": "scale",
    "RandomResize": "scale",
    "RandomChoiceResize": "scales",
    "Pad": "size",
    "RandomCrop": "crop_size",
    "Mosaic": "img_scale",
    "MixUp": "img_scale",
    "CachedMosaic": "img_scale",
    "CachedMixUp": "img_scale",
}


def pipeline_steps(node: Any) -> Iterator[dict]:
    """Yield the transforms of all pipelines in a node of a config, also those inside others."""
    if isinstance(node, dict):
        for key, value in node.items():
            if node.get("type") == "Albu":  # has another library's transforms
                return
            if key in ("pipeline", "transforms") and isinstance(value, (list, tuple)):
                yield from _flatten(value)
            yield from pipeline_steps(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from pipeline_steps(value)


def _flatten(steps: Any) -> Iterator[dict]:
    for step in steps:
        if isinstance(step, dict):
            yield step
        elif isinstance(step, (list, tuple)):
            yield from _flatten(step)


def size_key(step: dict) -> str:
    """Return the key of a transform's image size; '' for a transform that has none."""
    return _SIZES.get(type_name(step), "")


def check_settings(cfg: Config, dataloaders: Sequence[str]) -> list[Finding]:
    """Find numbers that PyTorch, MMEngine or MMDetection would fail on, in the middle of a run.

    Args:
        cfg: The config.
        dataloaders: Keys of the dataloaders that the run uses.
    """
    findings = list(_check_numbers(cfg, dataloaders))
    for key in dataloaders:
        loader = cfg.get(key)
        for step in pipeline_steps(loader if isinstance(loader, dict) else None):
            name = size_key(step)
            if name and step.get(name) is not None:
                findings += _check_size(f"{key}: {_type_text(step)}.{name}", step[name])
            findings += _check_step(key, step)
    return list({finding.message: finding for finding in findings}.values())


def _check_numbers(cfg: Config, dataloaders: Sequence[str]) -> Iterator[Finding]:
    expected: list[tuple[str, Any, str, int]] = []
    for key in dataloaders:
        loader = cfg.get(key)
        if isinstance(loader, dict):
            if loader.get("batch_sampler") is None:
                expected.append((key, loader, "batch_size", 1))
            expected += [(key, loader, name, 0) for name in ("num_workers", "prefetch_factor")]
            for dataset in leaf_datasets(loader):
                if (indices := dataset.get("indices")) in (0, [], ()):
                    message = f"{key}: the dataset has indices={indices!r}, which selects no images"
                    yield Finding(ERROR, "setting", f"{message}; remove it, or select some")
    if "train_dataloader" in dataloaders:
        loop = cfg.get("train_cfg")
        lengths = ("max_epochs", "max_iters", "val_interval")
        expected += [("train_cfg", loop, name, 1) for name in lengths]
    model = cfg.get("model")
    preprocessor = model.get("data_preprocessor") if isinstance(model, dict) else None
    expected.append(("model.data_preprocessor", preprocessor, "pad_size_divisor", 1))
    for key, node, name, least in expected:
        if not isinstance(node, dict) or name not in node:
            continue
        value = node[name]
        if key == "train_cfg" and isinstance(value, float) and value.is_integer():
            continue  # MMEngine's loops take them
        if not whole_number(value, least) and (value is not None or name == "batch_size"):
            kind = "a positive integer" if least else "0 or a positive integer"
            yield Finding(ERROR, "setting", f"{key}.{name} is {value!r}, expected {kind}")


def _check_size(where: str, value: Any) -> Iterator[Finding]:
    are_several = isinstance(value, (tuple, list)) and any(
        isinstance(each, (tuple, list)) for each in value
    )
    for size in value if are_several else [value]:
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        are_numbers = all(isinstance(side, (int, float)) for side in sides)
        if len(sides) != 2 or not are_numbers or not min(sides) > 0:
            message = (
                f"{where} is {value!r}, expected the two sides of an image as positive numbers, "
                "such as (1333, 800)"
            )
            yield Finding(ERROR, "setting", message)
            return


def _type_text(step: dict) -> str:
    """Return a transform's type as the config names it."""
    return step["type"] if isinstance(step.get("type"), str) else type_name(step)


def _check_step(key: str, step: dict) -> Iterator[Finding]:
    """Build a transform; the registry's own errors are left to the run, which names the config."""
    try:
        TRANSFORMS.build(copy.deepcopy(step))
    except (AssertionError, ValueError, ImportError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0] or f"its arguments are {step}"
        message = f"{key}: {_type_text(step)} can't be built ({type(error).__name__}: {reason})"
        yield Finding(ERROR, "setting", message)
    except Exception:  # unknown names
        return
