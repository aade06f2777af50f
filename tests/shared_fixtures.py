"""Fixtures of all tests."""

import ctypes
import os
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from limited_disk import file_size_limit, small_disk  # noqa: F401  fixtures
from mmengine.config import config as mmengine_config
from mmengine.dataset import base_dataset
from mmengine.logging import MMLogger
from mmengine.runner import runner as runner_module
from mmengine.visualization import Visualizer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import vanillanet_det  # noqa: F401  supplies mmcv's ops before any test imports mmdet
from vanillanet_det.engine.launch import leave_gloo
from vanillanet_det.models.layers.split_norm import SplitNormConv2d

ROOT = Path(__file__).parents[1]


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    Visualizer._instance_dict.clear()  # MMEngine's hooks draw with the last one


@pytest.fixture(autouse=True, scope="session")
def _without_housekeeping():
    """Skip what takes more than half the time of small trainings.

    MMEngine formats a run's config, and collects garbage for each dataset. PyTorch waits 5 s for
    each worker of a garbage-collected data loader, in whichever test that happens: the pipe that
    tells the worker to end may be gone already. It terminates the worker afterwards.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine_config, "FormatCode", lambda text, **style: (f"{text}\n", False))
        patch.setattr(base_dataset, "gc", SimpleNamespace(collect=lambda: 0))
        patch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_run_per_second():
    """Give each run its own second: MMEngine's runs of the same name and second share a log."""
    last = 0.0

    def next_second():
        nonlocal last
        last = max(time.time(), last + 1)
        return last

    clock = SimpleNamespace(time=next_second, strftime=time.strftime, localtime=time.localtime)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_module, "time", clock)
        yield


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def randomize_norms():
    """Function that randomises the weights and statistics of a model's BatchNorms.

    Fresh ones are the identity, and every comparison with a fused model would pass. If inputs of
    the model are passed, the statistics start from those of its features: with any others, a deep
    network's output is hardly more than its last bias, which hides an error in a kernel.
    """

    def randomize(model: nn.Module, *inputs: torch.Tensor) -> nn.Module:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if inputs:
            modes = [module.training for module in model.modules()]
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = 1.0
            with torch.no_grad():
                model.train()(*inputs)
            for norm, momentum in zip(norms, momenta):
                norm.momentum = momentum
            for module, mode in zip(model.modules(), modes):
                module.training = mode
        for module in model.modules():
            if isinstance(module, SplitNormConv2d):
                nn.init.uniform_(module.scale, 0.5, 1.5)
                nn.init.normal_(module.shift, std=0.3)
        for norm in norms:
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.3)
            norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn(norm.num_features)
            norm.running_var *= torch.empty(norm.num_features).uniform_(0.5, 2)
        return model

    return randomize


@pytest.fixture
def log(caplog):
    """The log of mmengine's current logger."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def all_threads():
    """Use all cores, for tests with large tensors."""
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def reused_memory():
    """Keep freed memory in the process instead of mapping gigabytes again, page by page."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # glibc's
        yield
        return
    trim_threshold, mmap_max = -1, -4
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_max, 0)
    yield
    libc.mallopt(trim_threshold, 2**17)
    libc.mallopt(mmap_max, 2**16)
    libc.malloc_trim(0)


@pytest.fixture(scope="session")
def digit_images(tmp_path_factory):
    """The embedded images of classifiers, only few and small."""
    from vanillanet_det.datasets.digit_images import ensure_digit_images

    folder = tmp_path_factory.mktemp("digit_images") / "images"
    return ensure_digit_images(folder, counts={"train": 80, "val": 40}, side=32)


@pytest.fixture
def mmdet_scope():
    """Make MMDetection's registries the default, as its Runner does."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")


@pytest.fixture
def one_process_group(tmp_path):
    """A process group of this process only, which model wrappers need."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    if torch.distributed.is_initialized():
        leave_gloo()


@pytest.fixture(scope="session")
def small_digits(tmp_path_factory):
    """A few scenes of the embedded dataset."""
    from vanillanet_det.datasets import ensure_digits

    root = tmp_path_factory.mktemp("data") / "digits"
    return ensure_digits(root, num_scenes={"train": 24, "val": 6})


@pytest.fixture(scope="session")
def small_config(small_digits, tmp_path_factory):
    """Config of a detector of a few channels on `small_digits`, as a user would write one."""
    path = tmp_path_factory.mktemp("configs") / "small.py"
    path.write_text(
        SMALL_CONFIG.format(
            base=ROOT / "configs/retinanet_vanillanet5_digits.py", data_root=f"{small_digits}/"
        )
    )
    return path


SMALL_CONFIG = """
_base_ = ["{base}"]
data_root = "{data_root}"
dataset = dict(
    type="CocoDataset",
    data_root=data_root,
    metainfo=dict(classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")),
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val.json")
test_evaluator = val_evaluator
model = dict(
    backbone=dict(arch=dict(dims=[8, 16, 16, 16], strides=[2, 2, 2])),
    neck=dict(in_channels=[16, 16, 16], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1),
    test_cfg=dict(score_thr=0.0, max_per_img=20),
)
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type="CosineAnnealingLR", T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
"""


@pytest.fixture(scope="session")
def save_detector(small_config, small_digits):
    """Function that saves a training checkpoint of one of the small detectors that find boxes."""
    from saved_detectors import save_small_detector

    return partial(save_small_detector, small_config, small_digits)


@pytest.fixture(scope="session")
def detector_file(save_detector, tmp_path_factory):
    """Training checkpoint of a small RetinaNet that finds 20 boxes in an image."""
    return save_detector(tmp_path_factory.mktemp("detector") / "epoch_3.pth")


@pytest.fixture(scope="session")
def exporter():
    """The module that exports, which needs a newer PyTorch than the rest of the package."""
    if torch.__version__ < (2, 6):
        pytest.skip("exporting needs PyTorch 2.6")
    from vanillanet_det.export import exporter

    return exporter
