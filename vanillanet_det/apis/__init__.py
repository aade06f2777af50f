"""What the command lines do, a function for each of `tools/`."""

from .benchmark import benchmark
from .convert_checkpoint import convert_checkpoint
from .get_flops import get_flops
from .test import test
from .train import train
from .training_cost import training_cost

__all__ = ["benchmark", "convert_checkpoint", "get_flops", "test", "train", "training_cost"]
