"""Detection with a trained checkpoint in PyTorch."""

from ..runtime.results import Detection, Detections
from .model_config import config_text, model_config
from .torch_detector import TorchDetector, load_detector

__all__ = [
    "Detection",
    "Detections",
    "TorchDetector",
    "config_text",
    "load_detector",
    "model_config",
]
