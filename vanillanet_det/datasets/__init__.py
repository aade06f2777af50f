"""Datasets and transforms, registered with MMDetection."""

from .digits import DigitsDataset, ensure_digits
from .loading import LoadReadableImage
from .random_zoom import RandomZoom

__all__ = ["DigitsDataset", "LoadReadableImage", "RandomZoom", "ensure_digits"]
