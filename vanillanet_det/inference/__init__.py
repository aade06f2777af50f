"""A trained detector at work: on images in Python, and on folders, videos and cameras."""

from ..runtime.results import Detection, Detections
from .detector import Detector, load_detector
from .model_config import config_text, model_config

__all__ = [
    "Detection",
    "Detections",
    "Detector",
    "config_text",
    "load_detector",
    "model_config",
]
