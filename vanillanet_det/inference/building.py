"""A detector in its deployed form, built from a checkpoint."""

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..checkpoints import Checkpoint, fit_model
from ..checkpoints.checkpoint import class_names
from ..configs import read_config_file
from ..datasets.pipeline import find_test_dataset, inference_pipeline
from ..datasets.sample_images import prepare_array
from ..errors import UserError, prefix_errors, some
from ..models.deploy import fuse
from ..models.layers.act_lambda import SCHEDULE_KEY, set_lambda_schedule
from ..models.protocols import KnowsForms
from .model_config import check_types, model_config

ConfigLike = Union[Config, str, Path]
_NAME_IT = "pass its config file (--config, config=)"


def find_config(checkpoint: Checkpoint, config: Optional[ConfigLike]) -> Config:
    """Find the config of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        config: A config or its file; None for the config inside the checkpoint, which is never
            executed.

    Returns:
        A copy without weight initialisation.

    Raises:
        UserError: There is no config, or it can't be used.
    """
    path = checkpoint.path
    if config is None:
        with prefix_errors(path):
            cfg = model_config(checkpoint.content)
            if cfg is not None and "model" in cfg:
                drop_initialization(cfg.model)
                dataset = dict(type=find_test_dataset(cfg).get("type"))
                check_types([cfg.model, inference_pipeline(cfg), dataset])
        if cfg is None:
            raise UserError(f"{path}: contains no config; {_NAME_IT}")
    elif isinstance(config, Config):
        cfg = copy.deepcopy(config)
    else:
        cfg = read_config_file(config)
    if not isinstance(cfg.get("model"), dict):
        raise UserError(f"{path}: its config has no model; {_NAME_IT}")
    drop_initialization(cfg.model)
    return cfg


def drop_initialization(node: Any) -> None:
    """Remove weight initialisation from a model's config, in place.

    A checkpoint overwrites the initial weights.

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
    """Build the detector of a checkpoint and fuse it.

    Args:
        path: A checkpoint in its training, merged or deployed form.
        config: Same as for `find_config`.

    Returns:
        The detector in float32 on the CPU, its config, and the names of its classes.

    Raises:
        UserError: The file or the config can't be used, they don't fit each other, or lambda is
            below 1.
    """
    checkpoint = Checkpoint.read(path)
    cfg = find_config(checkpoint, config)
    with DefaultScope.overwrite_default_scope("mmdet"):
        set_form(cfg.model.get("backbone") or {}, checkpoint.backbone())
        try:
            model = revert_sync_batchnorm(MODELS.build(cfg.model)).float().eval()
        except UserError:
            raise
        except Exception as error:  # constructors use assert, and may raise anything
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{path}: the model in its config can't be built ({type(error).__name__}: {reason})"
            ) from error
    with prefix_errors(path):
        fit_model(model, checkpoint, "detect")
        set_lambda_schedule(model, checkpoint.meta.get(SCHEDULE_KEY, ""))
        classes = find_classes(checkpoint, cfg)
        _check_classes(classes, model)
        fused, _, unchecked = fuse(model, str(path), prepare=partial(prepare_array, cfg))
    if unchecked:
        print_log(f"{path}: {unchecked}", "current", level=30)
    return fused.eval(), cfg, classes


def set_form(backbone: dict, state: Mapping[str, Tensor]) -> None:
    """Set a backbone's config, in place, to build the form that the weights have.

    Args:
        backbone: The config, changed if the class of the backbone implements `KnowsForms`.
        state: Weights by their names in the backbone.
    """
    kind = backbone.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, KnowsForms):
        backbone.update(kind.form_arguments(state))


def find_classes(checkpoint: Checkpoint, cfg: Config) -> tuple[str, ...]:
    """Return the class names from a file, or else from the config."""
    dataset = find_test_dataset(cfg)
    configured = class_names(dataset.get("metainfo"))
    if not configured and dataset.get("type"):
        configured = class_names(getattr(DATASETS.get(dataset.type), "METAINFO", None))
    found = checkpoint.classes
    if found and configured and found != configured and len(found) == len(configured):
        print_log(
            f"{checkpoint.path}: its classes are {some(found, 5)}, but the config's are "
            f"{some(configured, 5)}; detections have the checkpoint's names",
            "current",
            level=30,
        )
    return found or configured


def _check_classes(classes: tuple[str, ...], model: nn.Module) -> None:
    head = getattr(getattr(model, "roi_head", model), "bbox_head", None)
    head = head[0] if isinstance(head, nn.ModuleList) else head
    expected = getattr(head, "num_classes", len(classes))
    if len(classes) != expected:
        raise UserError(
            f"the detector has {expected} class{'es' * (expected != 1)}, but the file or its "
            f"config lists {len(classes)}{': ' * bool(classes)}{', '.join(classes[:20])}; set "
            f"test_dataloader.dataset.metainfo.classes in the config and {_NAME_IT}"
        )
