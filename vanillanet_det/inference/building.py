"""A detector in its deployed form, built from a checkpoint."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional, Union

from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import nn

from ..checkpoints import Match, backbone_state_dict, model_state_dict, read_checkpoint
from ..datasets.pipeline import find_test_dataset, inference_pipeline
from ..errors import UserError
from ..models.backbones.state_dict import describe
from ..models.deploy import detector_error, switch_to_deploy
from ..models.layers.act_lambda import OUTLOOK, HasLambda
from .model_config import check_types, model_config

ConfigLike = Union[Config, str, Path]
_NAME_IT = "name its config file (--config, config=)"
TOLERANCE = 1e-3  # of fused features against the original ones, as in SwitchToDeployHook


def find_config(path: Union[str, Path], checkpoint: Any, config: Optional[ConfigLike]) -> Config:
    """Find the config of a checkpoint.

    Args:
        path: What errors call the checkpoint.
        checkpoint: What it holds.
        config: A config or its file; None for the one that the checkpoint brings along, of
            which nothing is run.

    Returns:
        A copy, which doesn't say how weights begin.

    Raises:
        UserError: There is none, or it can't be used.
    """
    if config is None:
        try:
            cfg = model_config(checkpoint)
            if cfg is not None and "model" in cfg:
                drop_initialization(cfg.model)
                dataset = dict(type=find_test_dataset(cfg).get("type"))
                check_types([cfg.model, inference_pipeline(cfg), dataset])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if cfg is None:
            raise UserError(f"{path}: brings no config; {_NAME_IT}")
    elif isinstance(config, Config):
        cfg = copy.deepcopy(config)
    else:
        if not Path(config).is_file():
            raise UserError(f"config {config}: there is no such file")
        try:
            cfg = Config.fromfile(config)
        except Exception as error:  # a config is Python: anything may be wrong in it
            raise UserError(f"config {config}: {type(error).__name__}: {error}") from error
    if not isinstance(cfg.get("model"), dict):
        raise UserError(
            f"{path}: its config has no model; name its config file (--config, config=)"
        )
    drop_initialization(cfg.model)
    return cfg


def drop_initialization(node: Any) -> None:
    """Take out of a model's config how weights begin, which a checkpoint overwrites, in place.

    Args:
        node: The config, or a part of it.
    """
    if isinstance(node, dict):
        node.pop("init_cfg", None)
        node.pop("pretrained", None)
        node = node.values()
    if isinstance(node, Iterable) and not isinstance(node, str):
        for value in node:
            drop_initialization(value)


def build_detector(
    path: Union[str, Path], config: Optional[ConfigLike] = None
) -> tuple[nn.Module, Config, tuple[str, ...]]:
    """Build the detector of a checkpoint, fused.

    Args:
        path: A checkpoint in its training, merged or deployed form.
        config: As for `find_config`.

    Returns:
        The detector in float32 on the CPU, its config, and the names of its classes.

    Raises:
        UserError: The file or the config can't be used, they don't fit each other, or lambda is
            below 1.
    """
    checkpoint = read_checkpoint(path)
    cfg = find_config(path, checkpoint, config)
    state = model_state_dict(checkpoint)
    _set_form(cfg, state)
    with DefaultScope.overwrite_default_scope("mmdet"):
        try:
            model = revert_sync_batchnorm(MODELS.build(cfg.model)).float().eval()
        except UserError:
            raise
        except Exception as error:  # constructors assert, and raise nearly anything
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{path}: the model of its config can't be built ({type(error).__name__}: {reason})"
            ) from error
    _load(path, model, state)
    meta = find_meta(checkpoint)
    for module in model.modules():
        if isinstance(module, HasLambda):
            module.lambda_outlook = meta.get(OUTLOOK, "")
    classes = find_classes(meta, cfg)
    _check_classes(path, classes, model)
    return _fuse(path, model), cfg, classes


def _set_form(cfg: Config, state: dict) -> None:
    """Ask of a VanillaNet for the form that the file is in."""
    found = describe(backbone_state_dict(state))
    backbone = cfg.model.get("backbone") or {}
    if found is not None and str(backbone.get("type")).rpartition(".")[2] == "VanillaNet":
        backbone.update(deploy=found.form == "deployed", merged=found.form == "merged")


def _load(path: Union[str, Path], model: nn.Module, state: dict) -> None:
    try:
        match = Match.by_loading(model, state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not match.is_complete or match.left_over:
        raise UserError(
            f"{path}: {match}; expected every tensor of the model and no other. Is the checkpoint "
            "of this config?"
        )


def _fuse(path: Union[str, Path], model: nn.Module) -> nn.Module:
    try:
        fused = switch_to_deploy(model)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    error = detector_error(model, fused)
    if not error <= TOLERANCE:
        raise RuntimeError(
            f"{path}: fused and original features differ by {error:.1e} of their largest value, "
            f"more than {TOLERANCE:g}; this is an error of the fusion, or weights are not finite"
        )
    return fused.eval()


def find_meta(checkpoint: Any) -> dict:
    """Take what a checkpoint says of itself; {} if nothing."""
    meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
    return meta if isinstance(meta, dict) else {}


def find_classes(meta: dict, cfg: Config) -> tuple[str, ...]:
    """Find the names of the classes: in a file's meta, of MMDetection 3 or 2, or in the config."""
    dataset = find_test_dataset(cfg)
    sources = [meta.get("dataset_meta"), meta, dataset.get("metainfo")]
    if dataset.get("type"):
        sources.append(getattr(DATASETS.get(dataset.type), "METAINFO", None))
    for source in sources:
        found = isinstance(source, dict) and (source.get("classes") or source.get("CLASSES"))
        if found:
            return (found,) if isinstance(found, str) else tuple(map(str, found))
    return ()


def _check_classes(path: Union[str, Path], classes: tuple[str, ...], model: nn.Module) -> None:
    head = getattr(getattr(model, "roi_head", model), "bbox_head", None)
    head = head[0] if isinstance(head, nn.ModuleList) else head
    expected = getattr(head, "num_classes", len(classes))
    if len(classes) != expected:
        raise UserError(
            f"{path}: the detector has {expected} classes, but the file or its config names "
            f"{len(classes)}{': ' * bool(classes)}{', '.join(classes[:20])}; set "
            f"test_dataloader.dataset.metainfo.classes in the config and {_NAME_IT}"
        )
