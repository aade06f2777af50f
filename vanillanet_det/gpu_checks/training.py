"""Training steps in each precision, and on several ranks."""

import os
import re
import subprocess
import sys
from functools import partial
from typing import Optional

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from ..benchmark.networks import quiet
from ..engine.amp import set_amp
from .outcome import Check, Finding, SkippedError

STEPS = 8
ALLOWED = {None: 1e-2, "bfloat16": 5e-2, "float16": 5e-2}
_RANKS_TIMEOUT_S, _RANKS_ALLOWED = 300, 1e-4
_SIZE = (128, 160)


def training_checks(cfg: Config) -> list[tuple[str, Check]]:
    """Return a check for each precision, and one of the ranks.

    Args:
        cfg: Config of a detector.
    """
    return [
        (f"losses of {STEPS} steps, {dtype or 'fp32'}", partial(check_training, cfg, dtype))
        for dtype in ALLOWED
    ] + [("gradients of all ranks", check_ranks)]


def check_training(cfg: Config, dtype: Optional[str], device: torch.device) -> Finding:
    """Compare the losses of some training steps with those in float32 on the CPU.

    Args:
        cfg: Config of a detector.
        dtype: `float16` or `bfloat16` for mixed precision; None for float32.
        device: Device to train on.

    Raises:
        SkippedError: There is no such training on the CPU.
    """
    if dtype == "float16" and get_device() == "cpu":
        raise SkippedError("training in float16 needs a GPU")
    expected = torch.tensor(_losses(cfg, None, torch.device("cpu")))
    found = torch.tensor(_losses(cfg, dtype, device))
    return Finding(((found - expected).abs() / expected).max().item(), ALLOWED[dtype])


def _losses(cfg: Config, dtype: Optional[str], device: torch.device) -> list[float]:
    torch.manual_seed(0)
    own = Config(dict(optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9))))
    with DefaultScope.overwrite_default_scope("mmdet"):
        set_amp(own, dtype)
        detector = MODELS.build(cfg.model)
        with quiet():
            detector.init_weights()
        detector.to(device).train()
        wrapper = build_optim_wrapper(detector, own.optim_wrapper)
        batch = _batch(device)
        return [float(detector.train_step(batch, wrapper)["loss"].detach()) for _ in range(STEPS)]


def _batch(device: torch.device) -> dict:
    height, width = _SIZE
    meta = dict(img_shape=_SIZE, ori_shape=_SIZE, pad_shape=_SIZE, scale_factor=(1.0, 1.0))
    boxes = torch.tensor([[8.0, 8, 60, 70], [50, 40, 130, 110]], device=device)
    labels = torch.tensor([1, 3], device=device)
    samples = [
        DetDataSample(metainfo=meta, gt_instances=InstanceData(bboxes=boxes, labels=labels))
        for _ in range(2)
    ]
    return dict(
        inputs=[torch.randint(256, (3, height, width), dtype=torch.uint8) for _ in range(2)],
        data_samples=samples,
    )


def check_ranks(device: torch.device) -> Finding:
    """Compare the gradients of as many ranks as GPUs, or of two on the CPU, with one process's.

    Args:
        device: A device; ranks use all GPUs.
    """
    count = torch.cuda.device_count() if device.type == "cuda" else 2
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if device.type == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(  # noqa: S603
        [*launcher, f"--nproc-per-node={count}", "-m", f"{__package__}.ranks"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_RANKS_TIMEOUT_S,
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        lines = [line for line in lines if re.search(r"(?<!ChildFailed)Error: .|exitcode", line)]
        reason = lines[0].strip() if lines else f"exit status {done.returncode}"
        raise RuntimeError(f"{count} ranks: {reason}")
    return Finding(float(done.stdout.splitlines()[-1]), _RANKS_ALLOWED)
