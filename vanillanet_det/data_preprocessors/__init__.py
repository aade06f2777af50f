"""What happens to images in front of a detector."""

from .raw_pixels import RawPixelPreprocessor, fold_normalization

__all__ = ["RawPixelPreprocessor", "fold_normalization"]
