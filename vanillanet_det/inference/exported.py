"""An exported file as a model that MMEngine's runner evaluates."""

from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel

from ..runtime import Detector
from ..runtime.engines.ultralytics import UltralyticsEngine
from .instances import to_instances


@MODELS.register_module()
class ExportedModel(BaseModel):
    """Model that runs an exported file, so that MMEngine's runner can evaluate the file.

    Images are passed as they are loaded, and resized according to the file's metadata, so the
    evaluation covers exactly what runs without PyTorch.

    Args:
        path: The file.
        engine: Same as for `vanillanet_det.runtime.Detector`.
        device: Same as for `vanillanet_det.runtime.Detector`.

    Raises:
        UserError: The file, the engine or the device can't be used.
    """

    def __init__(
        self, path: Union[str, Path], engine: Optional[str] = None, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.detector = Detector(path, score=0.0, engine=engine, device=device)
        self.classes = self.detector.classes
        if isinstance(self.detector.engine, UltralyticsEngine):
            self.detector.engine.multi_label = True

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "predict") -> Any:
        """Detect objects in uint8 BGR images `(3, H, W)`; return the samples with predictions."""
        # A config may load images as float32, with the same values.
        images = [image.permute(1, 2, 0).to(torch.uint8).contiguous().numpy() for image in inputs]
        for sample, found in zip(data_samples, self.detector(images, batch_size=len(images))):
            sample.pred_instances = to_instances(found)
        return data_samples

    def test_step(self, data: dict) -> list:
        """Detect objects in a batch from a data loader."""
        return self(**data)

    val_step = test_step
