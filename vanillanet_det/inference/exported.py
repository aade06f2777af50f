"""An exported file in the place of MMDetection's detector."""

from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from ..runtime import Detections, Detector


@MODELS.register_module()
class ExportedModel(BaseModel):
    """Detects with an exported file, for MMEngine's runner to evaluate.

    It takes pictures as they are loaded: the file itself says how they are resized. So what is
    evaluated is what runs without PyTorch.

    Args:
        path: The file.
        engine: As for `Detector` of `vanillanet_det.runtime`.
        device: As for that.

    Raises:
        UserError: File, engine or device can't be used.
    """

    def __init__(
        self, path: Union[str, Path], engine: Optional[str] = None, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.detector = Detector(path, score=0.0, engine=engine, device=device)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "predict") -> Any:
        """Detect in uint8 images `(3, H, W)`, BGR; returns the samples with what was found."""
        # A config may load pictures as float32, of the same values.
        images = [image.permute(1, 2, 0).to(torch.uint8).contiguous().numpy() for image in inputs]
        for sample, found in zip(data_samples, self.detector(images, batch_size=len(images))):
            sample.pred_instances = to_instances(found)
        return data_samples

    def test_step(self, data: dict) -> list:
        """Detect in a batch of a data loader."""
        return self(**data)

    val_step = test_step


def to_instances(found: Detections) -> InstanceData:
    """Write detections as MMDetection does."""
    instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes),
        scores=torch.from_numpy(found.scores),
        labels=torch.from_numpy(found.labels),
    )
    if found.masks is not None:
        instances.masks = torch.from_numpy(found.masks)
    return instances
