"""Settings that MMEngine and PyTorch reject, although their meaning is clear."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vanillanet_det.apis import test as evaluate
from vanillanet_det.apis import train
from vanillanet_det.checks.settings import check_settings
from vanillanet_det.engine.clear_settings import accept_clear_settings, make_sizes_tuples
from vanillanet_det.engine.config import load_config, read_config

FEW = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=4"]
FEW += [f"{key}_dataloader.dataset.indices=2" for key in ("val", "test")]
OF_WORKERS = dict(
    persistent_workers=True, prefetch_factor=2, timeout=5, multiprocessing_context="spawn"
)


def test_options_of_workers_are_ignored_without_any(log):
    loaders = [dict(OF_WORKERS, num_workers=count) for count in (0, 2)] + [dict(OF_WORKERS)]
    keys = ("train_dataloader", "val_dataloader", "test_dataloader")
    cfg = Config(dict(zip(keys, loaders)))
    accept_clear_settings(cfg)
    assert cfg.train_dataloader == dict(num_workers=0)
    assert cfg.val_dataloader == loaders[1]
    assert cfg.test_dataloader == {}
    assert (
        "train_dataloader, test_dataloader: num_workers is 0, so persistent_workers is ignored"
        in log.text
    )
    assert log.text.count("is ignored") == 4


@pytest.mark.slow
def test_a_run_without_workers(small_config, tmp_path):
    options = [*FEW]
    for key in ("train", "val", "test"):
        loader = f"{key}_dataloader"
        options += [f"{loader}.persistent_workers=True", f"{loader}.prefetch_factor=2"]
        options += [f"{loader}.timeout=5", f"{loader}.num_workers=0"]
    train(str(small_config), str(tmp_path), cfg_options=options)
    evaluate(str(small_config), str(tmp_path / "epoch_1.pth"), str(tmp_path), cfg_options=options)


def test_sizes_that_training_accepts_pass_the_checks(small_config, tmp_path):
    path = tmp_path / "lists.py"
    path.write_text(
        f"_base_ = [{str(small_config)!r}]\n"
        "mosaic = dict(type='mmdet.Mosaic', img_scale=[64, 64])\n"
        "resize = dict(type='RandomChoiceResize', scales=[[64, 64], [96, 96]])\n"
        "train_dataloader = dict(dataset=dict(pipeline=[mosaic, resize]))\n"
    )
    cfg = read_config(str(path))
    mosaic, resize = cfg.train_dataloader.dataset.pipeline
    assert mosaic.img_scale == (64, 64)
    assert resize.scales == [(64, 64), (96, 96)]
    with DefaultScope.overwrite_default_scope("mmdet"):
        assert check_settings(cfg, ["train_dataloader"]) == []


@pytest.mark.parametrize("size", [[1333, 800], (1333, 800)])
def test_a_size_may_be_a_list(size):
    inner = dict(type="TestTimeAug", transforms=[[dict(type="Resize", scale=size)]])
    several = dict(type="RandomResize", scale=[[1333, 800], [1333, 640]])
    pipeline = [dict(type="Pad", size=size), inner, several]
    cfg = Config(dict(val_dataloader=dict(dataset=dict(dataset=dict(pipeline=pipeline)))))
    make_sizes_tuples(cfg)
    pad, tta, resize = cfg.val_dataloader.dataset.dataset.pipeline
    assert pad["size"] == tta.transforms[0][0].scale == (1333, 800)
    assert type(pad["size"]) is type(tta.transforms[0][0].scale) is tuple
    assert resize.scale == [(1333, 800), (1333, 640)]


@pytest.mark.parametrize(
    "name", ["deploy", "check_weights", "check_loss", "interrupt", "channels_last"]
)
def test_a_hook_of_this_project_is_switched_off_by_none(small_config, tmp_path, name):
    cfg = load_config(str(small_config), str(tmp_path), [f"default_hooks.{name}=None"])
    every = load_config(str(small_config), str(tmp_path)).default_hooks
    assert name in every
    assert name not in cfg.default_hooks
    assert set(every) == {name, *cfg.default_hooks}


def test_mmengines_hooks_are_switched_off_by_none(small_config, tmp_path):
    options = [*FEW, "default_hooks.timer=None", "default_hooks.deploy=None", "visualizer=None"]
    cfg = load_config(str(small_config), str(tmp_path), options)
    runner = Runner.from_cfg(cfg)
    names = [type(hook).__name__ for hook in runner.hooks]
    assert "IterTimerHook" not in names
    assert "SwitchToDeployHook" not in names
    assert "CheckWeightsHook" in names


def test_a_config_may_have_no_hooks():
    cfg = Config(dict(default_hooks=None))
    accept_clear_settings(cfg)
    assert cfg.default_hooks == {}


@pytest.mark.parametrize("constructor", [None, "mmengine.DefaultOptimWrapperConstructor"])
def test_shared_parameters_are_optimized_once(constructor):
    wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0))
    if constructor:
        wrapper["constructor"] = constructor
    cfg = Config(dict(optim_wrapper=wrapper))
    accept_clear_settings(cfg)
    assert cfg.optim_wrapper.paramwise_cfg == dict(norm_decay_mult=0, bypass_duplicate=True)


@pytest.mark.parametrize(
    "wrapper",
    [
        dict(constructor="LayerDecay", paramwise_cfg=dict(num_layers=6)),
        dict(optimizer=dict(type="SGD")),
        dict(paramwise_cfg=dict(norm_decay_mult=0, bypass_duplicate=False)),
    ],
)
def test_other_wrappers_stay_as_they_are(wrapper):
    cfg = Config(dict(optim_wrapper=wrapper))
    accept_clear_settings(cfg)
    assert cfg.optim_wrapper == wrapper
