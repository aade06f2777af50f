"""Mixed precision: a config gets the matching optimizer wrapper, or one sentence says why not."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from torch import nn

from vanillanet_det import UserError
from vanillanet_det.engine import amp
from vanillanet_det.engine.amp import set_amp
from vanillanet_det.engine.optimizers import Bf16OptimWrapper

OPTIMIZER = dict(type="SGD", lr=0.1)
KEPT = dict(optimizer=OPTIMIZER, accumulative_counts=4, clip_grad=dict(max_norm=10.0))


def named(**cfg):
    return Config(cfg, cfg_text="# mine", filename="mine.py")


def make_cfg(**wrapper):
    return named(optim_wrapper=dict(**KEPT, **wrapper))


@pytest.fixture(params=["cpu", "cuda"])
def device(request, monkeypatch):
    """What mmengine finds; the choice between wrappers needs no more than that."""
    monkeypatch.setattr(amp, "get_device", lambda: request.param)
    return request.param


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(amp, "get_device", lambda: "cpu")


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(amp, "get_device", lambda: "cuda")


@pytest.mark.parametrize(
    "before", [{}, dict(type="OptimWrapper"), dict(type="mmengine.OptimWrapper")]
)
def test_the_default_is_what_the_device_is_fast_and_safe_in(device, before):
    cfg = make_cfg(**before)
    set_amp(cfg, "auto")
    float16 = dict(type="AmpOptimWrapper", dtype="float16", loss_scale="dynamic")
    chosen = dict(type="Bf16OptimWrapper") if device == "cpu" else float16
    assert cfg.optim_wrapper == {**KEPT, **chosen}


@pytest.mark.parametrize(("dtype", "flag"), [("float16", "bfloat16"), ("bfloat16", None)])
def test_bfloat16_has_no_loss_scale_anywhere(device, dtype, flag):
    cfg = make_cfg(type="AmpOptimWrapper", dtype=dtype, loss_scale=512.0, use_fsdp=True)
    set_amp(cfg, flag)
    assert cfg.optim_wrapper == dict(type="Bf16OptimWrapper", **KEPT)


def test_float16_keeps_the_loss_scale_of_the_config(on_gpu):
    cfg = make_cfg(type=AmpOptimWrapper, loss_scale=512.0)
    set_amp(cfg, "float16")
    assert cfg.optim_wrapper.loss_scale == 512.0
    assert cfg.optim_wrapper.dtype == "float16"


def test_without_the_flag_the_config_stays(device):
    for wrapper in (dict(type="OptimWrapper"), dict(type="Bf16OptimWrapper")):
        cfg = make_cfg(**wrapper)
        set_amp(cfg, None)
        assert cfg.optim_wrapper == {**KEPT, **wrapper}


def test_float16_on_the_cpu_is_refused(on_cpu):
    with pytest.raises(UserError, match=r"--amp float16: needs a GPU.*--amp bfloat16"):
        set_amp(make_cfg(), "float16")
    message = r"mine\.py: optim_wrapper is an AmpOptimWrapper.*bfloat16"
    for kind in ("AmpOptimWrapper", "mmengine.AmpOptimWrapper"):
        with pytest.raises(UserError, match=message):
            set_amp(make_cfg(type=kind), None)


def test_a_wrapper_of_somebody_else_is_not_replaced(device):
    with pytest.raises(UserError, match=r"is a MyOptimWrapper, which --amp would replace"):
        set_amp(make_cfg(type="MyOptimWrapper"), "bfloat16")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.gpu
def test_on_a_gpu_the_forward_pass_is_in_it(dtype, mmdet_scope):
    cfg = make_cfg()
    set_amp(cfg, dtype)
    model = nn.Linear(4, 2, device="cuda")
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    with wrapper.optim_context(model):
        y = model(torch.randn(3, 4, device="cuda"))
    assert y.dtype == getattr(torch, dtype)
    assert hasattr(wrapper, "loss_scaler") == (dtype == "float16")
    assert isinstance(wrapper, Bf16OptimWrapper) == (dtype == "bfloat16")
