"""Conversion of checkpoints, as `tools/convert_checkpoint.py` runs it."""

from ..conversion import convert_checkpoint

__all__ = ["convert_checkpoint"]
