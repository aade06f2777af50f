"""One rank of `check_ranks`; the first one prints the largest error of the gradients."""

import copy
import os
import sys

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..engine.launch import end_distributed, init_distributed
from ..models.deploy import relative_error

_IMAGES = 4  # of each rank


def main() -> None:
    """Compute gradients on this rank's share of a batch, and compare them."""
    cfg = Config(dict(launcher="pytorch"))
    init_distributed(cfg)
    rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    on_cpu = get_device() == "cpu"
    device = torch.device("cpu") if on_cpu else torch.device("cuda", torch.cuda.current_device())
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2)
    )
    images = torch.rand(_IMAGES * size, 3, 32, 32)
    expected = _gradients(copy.deepcopy(network), images)
    norm = MODELS.build(dict(type="SyncBN", num_features=8))
    norm.load_state_dict(network[1].state_dict())
    network[1] = norm
    ranks = DistributedDataParallel(
        network.to(device), device_ids=None if on_cpu else [device], broadcast_buffers=False
    )
    found = _gradients(ranks, images[rank::size].to(device))
    error = torch.tensor(relative_error(found, expected), device=device)
    torch.distributed.all_reduce(error, torch.distributed.ReduceOp.MAX)
    if rank == 0:
        sys.stdout.write(f"{float(error):.3e}\n")
    end_distributed(cfg)


def _gradients(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    network(images).square().mean().backward()
    return [parameter.grad.cpu() for parameter in network.parameters()]


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # threads of gloo may abort the process while C++ libraries are cleaned up
