"""What the command lines do, a function for each of `tools/`."""

from .convert_checkpoint import convert_checkpoint
from .get_flops import get_flops
from .test import test
from .train import train

__all__ = ["convert_checkpoint", "get_flops", "test", "train"]
