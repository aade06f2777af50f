"""A detector on a device: eager, as CUDA graphs, and in ONNX Runtime."""

import copy
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ..benchmark.networks import fuse, load_network
from ..datasets.sample_images import evaluation_pipeline, find_images, make_batches
from ..errors import UserError
from ..export.file_metadata import make_metadata
from ..export.support import check_packages
from ..models.cuda_graphs import graph
from ..models.deploy import relative_error
from ..runtime import Detector
from .outcome import Check, Finding, SkippedError

ALLOWED = 1e-3  # of the scores, whose logits add up the errors of all layers
_SIZE = (256, 320)
_NUM_SCORES = 20
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def detection_checks(cfg: Config) -> list[tuple[str, Check]]:
    """Return the checks of a detector with random weights.

    Args:
        cfg: Its config.
    """
    return [
        ("scores of a detector", partial(check_scores, cfg)),
        ("scores with CUDA graphs", partial(check_graphs, cfg)),
        ("scores in ONNX Runtime", partial(check_onnxruntime, cfg)),
    ]


def check_scores(cfg: Config, device: torch.device) -> Finding:
    """Compare the best scores with those on the CPU, without TF32."""
    detector, batches = _fused(cfg)
    on_device = copy.deepcopy(detector).to(device)
    return Finding(relative_error(_scores(on_device, batches), _scores(detector, batches)), ALLOWED)


def check_graphs(cfg: Config, device: torch.device) -> Finding:
    """Compare the best scores of CUDA graphs with those of the same detector without."""
    if device.type != "cuda":
        raise SkippedError("CUDA graphs need a GPU")
    detector, batches = _fused(cfg)
    detector.to(device)
    graphed = graph(copy.deepcopy(detector))
    return Finding(relative_error(_scores(graphed, batches), _scores(detector, batches)), ALLOWED)


def check_onnxruntime(cfg: Config, device: torch.device) -> Finding:
    """Compare the best scores of an exported file on a device with those on the CPU.

    Raises:
        SkippedError: ONNX Runtime or what exports for it isn't installed, or lacks the device.
    """
    try:
        check_packages("gpu-check", _PACKAGES)
    except UserError as error:
        raise SkippedError(str(error)) from error
    # Imported here, since it needs these packages.
    from ..export.exporter import Exporter, ExportOptions

    detector, _ = _fused(cfg)
    exporter = Exporter(detector, make_metadata(cfg, detector, ()), ExportOptions())
    images = [image["img"] for image in find_images()]
    with tempfile.TemporaryDirectory(prefix="vanillanet_det.") as folder:
        path = Path(folder) / "detector.onnx"
        exporter.write(path, "fp32")
        try:
            on_device = Detector(path, score=0.0, device=str(device))
        except UserError as error:
            raise SkippedError(str(error).replace(str(path), path.name)) from error
        found, expected = (
            [_best(np.asarray(detect(image).scores)) for image in images]
            for detect in (on_device, Detector(path, score=0.0))
        )
    return Finding(relative_error(found, expected), ALLOWED)


def _fused(cfg: Config) -> tuple[nn.Module, list[dict]]:
    torch.manual_seed(0)
    batches = make_batches(find_images(), evaluation_pipeline(cfg, _SIZE), 1)
    return fuse(load_network("detector", cfg, None, batches[0])).model, batches


@torch.no_grad()
def _scores(detector: nn.Module, batches: list[dict]) -> list[torch.Tensor]:
    """Return the best scores in each batch, computed without TF32."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = [detector.test_step(copy.deepcopy(batch))[0] for batch in batches]
    return [_best(sample.pred_instances.scores.cpu().numpy()) for sample in found]


def _best(scores: np.ndarray) -> torch.Tensor:
    if len(scores) < _NUM_SCORES:
        raise RuntimeError(f"{len(scores)} boxes were found, expected at least {_NUM_SCORES}")
    return torch.from_numpy(np.sort(scores.astype(np.float32))[::-1][:_NUM_SCORES].copy())
