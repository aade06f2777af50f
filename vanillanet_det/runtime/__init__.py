"""Detection with exported files in ONNX Runtime or OpenVINO, without PyTorch or MMDetection."""

from ..errors import UserError
from .detector import Detector
from .results import Detection, Detections
from .tiles import Tiles

__all__ = ["Detection", "Detections", "Detector", "Tiles", "UserError"]
