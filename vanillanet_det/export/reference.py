"""PyTorch's own results for what an exported file is given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import nn

from ..inference.instances import to_detections
from ..models.deploy import relative_error
from ..runtime import Detector
from ..runtime.engines import open_engine
from ..runtime.preprocessing import fit
from ..runtime.results import Detections
from .detectors import ExportedBackbone


@torch.no_grad()
def detect_twice(
    model: nn.Module, detector: Detector, image: np.ndarray
) -> tuple[Detections, Detections]:
    """Detect with MMDetection's own code and with a file, on the same pixels.

    Args:
        model: The fused detector.
        detector: The file's, of every score.
        image: A picture, uint8 `(height, width, 3)` in BGR.

    Returns:
        The detections of both, in the coordinates of the picture as the file takes it.
    """
    array = fit(image, detector.metadata)[0]
    size = array.shape[:2]
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    inputs = torch.from_numpy(array).permute(2, 0, 1)
    sample = DetDataSample(metainfo=meta)
    (found,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    expected = to_detections(found.pred_instances, 0.0, detector.classes, size)
    batch = array[None].repeat(detector.metadata.batch_size or 1, axis=0)
    outputs = {name: output[0] for name, output in detector.engine.run(batch).items()}
    return expected, detector.finish(outputs, (1.0, 1.0), size)


@torch.no_grad()
def feature_error(model: nn.Module, path: Any, images: Sequence[np.ndarray]) -> float:
    """Compare the features of a backbone's file with PyTorch's.

    Args:
        model: The fused detector.
        path: The file.
        images: Pictures, uint8 `(height, width, 3)` in BGR.

    Returns:
        The largest difference, as a share of the largest value of that feature; NaN if there is
        any.
    """
    engine, backbone = open_engine(path), ExportedBackbone(model)
    errors = []
    for image in images:
        array = fit(image, engine.metadata)[0][None]
        array = array.repeat(engine.metadata.batch_size or 1, axis=0)
        found = map(torch.from_numpy, engine.run(array).values())
        errors.append(relative_error(found, backbone(torch.from_numpy(array))))
    return float(np.max(errors))  # NaN if one is
