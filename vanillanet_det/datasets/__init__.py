"""Datasets and transforms, registered with MMDetection."""

from .classification import ClassificationDataset
from .digits import DigitsDataset, ensure_digits
from .loading import LoadReadableImage
from .random_zoom import RandomZoom

__all__ = [
    "ClassificationDataset",
    "DigitsDataset",
    "LoadReadableImage",
    "RandomZoom",
    "ensure_digits",
]
