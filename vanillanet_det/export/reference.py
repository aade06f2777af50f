"""PyTorch's own results for what an exported file is given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import nn

from ..inference.instances import detections_of
from ..runtime import Detector
from ..runtime.engines import open_engine
from ..runtime.preprocessing import find_size, fit
from ..runtime.results import Detections
from .detectors import ExportedBackbone


@torch.no_grad()
def detect(model: nn.Module, image: np.ndarray, detector: Detector) -> Detections:
    """Detect with MMDetection's own code, on the pixels that a file is given.

    Args:
        model: The fused detector.
        image: A picture, uint8 `(height, width, 3)` in BGR.
        detector: The file's, which prepares the picture.

    Returns:
        The detections in the picture's coordinates, of every score.
    """
    array, scales = fit(image, detector.metadata)
    size = image.shape[:2]
    width, height = find_size(size[1], size[0], detector.metadata)
    sample = DetDataSample(
        # What fills up a fixed size is no part of the picture.
        metainfo=dict(img_shape=(height, width), ori_shape=size, scale_factor=scales)
    )
    inputs = torch.from_numpy(array).permute(2, 0, 1)
    (found,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    return detections_of(found.pred_instances, 0.0, detector.classes, size)


@torch.no_grad()
def feature_error(model: nn.Module, path: Any, images: Sequence[np.ndarray]) -> float:
    """Compare the features of a backbone's file with PyTorch's.

    Args:
        model: The fused detector.
        path: The file.
        images: Pictures, uint8 `(height, width, 3)` in BGR.

    Returns:
        The largest difference, as a share of the largest value of that feature.
    """
    engine, backbone = open_engine(path), ExportedBackbone(model)
    worst = 0.0
    for image in images:
        array = fit(image, engine.metadata)[0][None]
        array = array.repeat(engine.metadata.batch_size or 1, axis=0)
        found = engine.run(array)
        for index, feature in enumerate(backbone(torch.from_numpy(array))):
            expected = feature.numpy()
            error = np.abs(expected - found[f"feature_{index}"]).max() / np.abs(expected).max()
            worst = max(worst, float(error))
    return worst
