"""The functions behind the command, one for each verb of `vanillanet-det`."""

from .ablation import ablation
from .benchmark import benchmark
from .check_data import check_data
from .convert_checkpoint import convert_checkpoint
from .embed import embed
from .export import export
from .finetune import finetune
from .get_flops import get_flops
from .gpu_check import gpu_check
from .infer import infer
from .pretrain import pretrain
from .test import test
from .train import train
from .training_cost import training_cost

__all__ = [
    "ablation",
    "benchmark",
    "check_data",
    "convert_checkpoint",
    "embed",
    "export",
    "finetune",
    "get_flops",
    "gpu_check",
    "infer",
    "pretrain",
    "test",
    "train",
    "training_cost",
]
