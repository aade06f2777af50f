"""The report of a pretraining run, with class activation maps."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.classification import ClassificationDataset, name_of
from ..fileio import without_folders
from ..models.layers.series_activation import SeriesActivation
from ..report import read_curves
from ..report.classification import ClassifiedImage, write_classification_report
from .evaluation import Evaluation

_NOTE = (
    "Right: where it sees the class that it predicts (Grad-CAM of the last layer, by Captum; "
    "bright is much)."
)
_WITHOUT = "Class activation maps need Captum: pip install captum."


def write_pretrain_report(
    cfg: Config,
    evaluations: Sequence[Evaluation],
    network: nn.Module,
    dataset: ClassificationDataset,
    work_dir: Path,
    title: str,
) -> Path:
    """Write `report.html` into a work dir.

    Args:
        cfg: Config of the run.
        evaluations: What each form of the network found; the last one unfused is reported.
        network: The reported network, in evaluation mode.
        dataset: The validation images.
        work_dir: Work dir of the run.
        title: Title of the report.

    Returns:
        The path of the file.

    Raises:
        UserError: The file can't be written.
    """
    reported = [each for each in evaluations if "fused" not in each.name][-1]
    ordered = [reported, *(each for each in evaluations if each is not reported)]
    classes = dataset.metainfo["classes"]
    layer = _last_convolution(network, dataset[0]["inputs"])
    has_maps = layer is not None and _captum() is not None

    def show(index: int, label: int) -> ClassifiedImage:
        inputs = dataset[index]["inputs"]
        heat = _heat(network, layer, inputs, label) if has_maps else None
        name = os.path.basename(without_folders(name_of(dataset.images, index)))
        return ClassifiedImage(name, _pixels(inputs, dataset), heat)

    path = work_dir / "report.html"
    write_classification_report(
        path,
        title=title,
        classes=classes,
        logits=reported.logits.numpy(),
        targets=reported.targets.numpy(),
        forms={each.name: (each.top(1), each.top_5) for each in ordered},
        curves={work_dir.name: read_curves(work_dir)},
        facts=_facts(cfg),
        show=show,
        note=_NOTE if has_maps else _WITHOUT,
    )
    return path


def _facts(cfg: Config) -> list[tuple[str, str]]:
    optimizer, backbone = cfg.optim_wrapper.optimizer, cfg.model.backbone
    height, width = cfg.val_dataloader.dataset.transform.input_size
    arch = backbone.get("arch")
    if isinstance(arch, dict):
        arch = f"of {', '.join(map(str, arch['dims']))} channels"
    return [
        ("Network", backbone.get("name") or f"VanillaNet {arch}"),
        ("Classes", str(cfg.model.num_classes)),
        ("Epochs", str(cfg.train_cfg.max_epochs)),
        ("Batch size", str(cfg.train_dataloader.batch_size)),
        ("Optimizer", f"{optimizer.name}, {optimizer.lr:g}"),
        ("Input size", f"{height} x {width} pixels"),
    ]


def _pixels(inputs: Tensor, dataset: ClassificationDataset) -> np.ndarray:
    mean, std = (torch.tensor(dataset.options[key])[:, None, None] for key in ("mean", "std"))
    pixels = (inputs * std + mean).clamp(0, 1) * 255
    return pixels.byte().permute(1, 2, 0).numpy()


def _captum() -> Optional[type]:
    try:
        from captum.attr import LayerGradCam
    except ImportError:
        return None
    return LayerGradCam


def _last_convolution(network: nn.Module, inputs: Tensor) -> Optional[nn.Module]:
    """Return the last convolution whose output isn't a single pixel; None if there is none."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        if output.shape[-1] > 1:
            found.append(module)

    kinds = (nn.Conv2d, SeriesActivation)
    modules = [module for module in network.modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(note) for module in modules]
    with torch.no_grad():
        network(inputs[None].to(next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None


def _heat(network: nn.Module, layer: nn.Module, inputs: Tensor, label: int) -> np.ndarray:
    device = next(network.parameters()).device
    images = inputs[None].to(device)
    map_ = _captum()(network, layer).attribute(images, target=label, relu_attributions=True)
    sized = F.interpolate(map_.detach(), images.shape[2:], mode="bilinear", align_corners=False)
    heat = sized[0].mean(0)
    return (heat / heat.max().clamp(min=1e-12)).cpu().numpy()
