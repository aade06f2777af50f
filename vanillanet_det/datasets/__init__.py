"""Datasets and transforms, registered with MMDetection."""

from .digits import DigitsDataset, ensure_digits
from .loading import LoadReadableImage

__all__ = ["DigitsDataset", "LoadReadableImage", "ensure_digits"]
