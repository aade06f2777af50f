"""A detector that runs a fused network in PyTorch."""

from pathlib import Path
from typing import Any, Literal, Optional, Union

import cv2
import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import nn

from ..datasets.pipeline import inference_pipeline
from ..errors import UserError
from ..models.cuda_graphs import graph
from ..models.precision import DTYPES, to_precision
from ..models.raw_pixels import fold_normalization
from ..runtime.base_detector import BaseDetector
from ..runtime.images import ImageLike, PreparedImage
from ..runtime.results import Detections
from ..runtime.tiles import Tiles
from .building import ConfigLike, build_detector
from .images import load_bgr
from .instances import to_detections
from .settings import find_settings


class TorchDetector(BaseDetector):
    """Detector that runs a fused network in PyTorch; `load_detector` returns one.

    Args:
        model: A fused MMDetection detector.
        cfg: Its config, whose test pipeline prepares the images.
        classes: Class names.
        device: Device to run on.
        score: Score threshold for the returned detections; None for the config's thresholds, one
            for each class, or 0.3 if it has none.
        tiles: How large images are cut; None cuts them as the config says, and False never.

    Example:
        >>> detector = load_detector("work_dirs/mine/fused.pth")
        >>> found = detector("a.jpg")
        >>> [(item.name, item.score, item.box) for item in found]
        >>> found.draw("a.jpg").save("drawn.jpg")
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Config,
        classes: tuple[str, ...],
        device: Union[str, torch.device] = "cpu",
        score: Optional[float] = None,
        tiles: Union[Tiles, Literal[False], None] = None,
    ) -> None:
        settings = find_settings(cfg, classes)
        tiles = settings.tiles if tiles is None else tiles or None
        super().__init__(classes, score, settings.class_scores, tiles)
        self.model = model.to(device).eval()
        loading, *rest = inference_pipeline(cfg)
        options = ("color_type", "imdecode_backend", "backend_args", "file_client_args")
        self._loading = {key: loading[key] for key in options if key in loading}
        self._as_float = loading.get("to_float32", False)
        with DefaultScope.overwrite_default_scope("mmdet"):
            self._prepare = Compose([TRANSFORMS.build(step) for step in rest])

    def load(self, image: ImageLike) -> np.ndarray:
        """Load an image with the config's options, as uint8 `(height, width, 3)` in BGR."""
        return load_bgr(image, **self._loading)

    def prepare(self, source: Any) -> PreparedImage:
        """Load an image and run the config's test pipeline on it."""
        image = source[1] if isinstance(source, tuple) else source
        try:
            pixels = self.load(image)
        except UserError as error:
            return PreparedImage(source, error=str(error))
        size = pixels.shape[:2]
        results = dict(
            img=pixels.astype(np.float32) if self._as_float else pixels,
            img_id=0,
            img_path=str(image) if isinstance(image, (str, Path)) else "",
            img_shape=size,
            ori_shape=size,
            scale_factor=(1.0, 1.0),
        )
        try:
            data = self._prepare(results)
        except cv2.error as error:
            height, width = size
            name = f"image {image}" if isinstance(image, (str, Path)) else "image"
            reason = " ".join(str(error).split())
            message = f"{name}: its {width} x {height} pixels can't be resized ({reason[:200]})"
            return PreparedImage(source, error=f"{message}; crop or split it")
        return PreparedImage(source, pixels, data=data, shape=data["inputs"].shape)

    @torch.no_grad()
    def detect(self, images: list[PreparedImage]) -> list[Detections]:
        """Detect objects in images of the same shape."""
        batch = {key: [image.data[key] for image in images] for key in ("inputs", "data_samples")}
        found = []
        for image, sample in zip(images, self.model.test_step(batch)):
            image.data = None
            size = image.image.shape[:2]
            found.append(to_detections(sample.pred_instances, self.is_chosen, self.classes, size))
        return found


def load_detector(
    model: Union[str, Path],
    config: Optional[ConfigLike] = None,
    device: Union[str, torch.device, None] = None,
    score: Optional[float] = None,
    tiles: Union[Tiles, Literal[False], None] = None,
    precision: str = "fp32",
    channels_last: bool = False,
    cuda_graph: bool = False,
) -> TorchDetector:
    """Load a detector from a checkpoint and fuse it.

    No code in the checkpoint is run, and no other file is read: the initial weights listed in the
    config needn't exist.

    Args:
        model: File or URL of a detector's checkpoint, in the training, merged or deployed form.
        config: Its config, or a config file; None for the config that MMEngine stored in the
            checkpoint.
        device: Device to run on, such as `cuda:1`; None selects a GPU if there is one.
        score: Score threshold for the returned detections, from 0 to 1; None for the config's
            thresholds, one for each class, or 0.3 if it has none.
        tiles: How large images are cut; None cuts them as the config says, and False never.
        precision: `fp32`, `bf16` or `fp16`, in which weights and features are; boxes are in float32
            in each.
        channels_last: Store kernels and features with channels last, which GPUs prefer in bf16 and
            fp16.
        cuda_graph: Launch all kernels of backbone, neck and dense head in one call, which is faster
            for small batches on a GPU; for up to 8 shapes of images, which need memory each.

    Returns:
        A detector, to be called with images.

    Raises:
        UserError: The checkpoint or the config can't be used, they don't match, lambda is below 1,
            so that the network can't be fused yet, or the device can't do what is asked for.
    """
    if precision not in DTYPES:
        raise UserError(f"precision {precision}: expected {', '.join(DTYPES)}")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"device {device}: can't be used ({reason}); use cpu") from error
    if cuda_graph and device.type != "cuda":
        raise UserError(f"cuda_graph: needs a CUDA GPU, but the device is {device}; omit it")
    detector, cfg, classes = build_detector(model, config)
    if precision == "fp32":
        fold_normalization(detector)
    to_precision(detector, DTYPES[precision])
    if channels_last:
        detector.to(memory_format=torch.channels_last)
    if cuda_graph:
        graph(detector.to(device))
    return TorchDetector(detector, cfg, classes, device, score, tiles)
