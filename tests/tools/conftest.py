"""The tools, called in this process or as a user would."""

import importlib
import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from vanillanet_det.datasets.examples import write_example


@pytest.fixture(scope="session")
def tool(root):
    """Call a tool's `main` in this process; returns its exit status."""

    def call(name, *args):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(root / "tools")
            patch.setattr(sys, "argv", [f"tools/{name}.py", *map(str, args)])
            try:
                importlib.import_module(name).main()
            except SystemExit as exit:
                return exit.code
            finally:
                sys.modules.pop(name, None)  # the standard library also has a module `test`
                # Loggers would keep writing to the standard output of this test.
                for logger in MMLogger._instance_dict.values():
                    logger.handlers.clear()
                MMLogger._instance_dict.clear()
        return 0

    return call


@pytest.fixture(scope="session")
def command(root):
    """Function that makes the command line of a tool."""

    def make(name, *args):
        return [sys.executable, str(root / "tools" / f"{name}.py"), *map(str, args)]

    return make


@pytest.fixture(scope="session")
def run_tool(command):
    """Function that runs a tool in a new process until it ends."""

    def run(name, *args, **kwargs):
        return subprocess.run(
            command(name, *args), capture_output=True, text=True, timeout=300, **kwargs
        )

    return run


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """A YOLO folder of the embedded scenes."""
    folder = tmp_path_factory.mktemp("data") / "even odd"
    write_example(folder, "yolo", {"train": 8, "val": 4})
    return folder


@pytest.fixture(scope="session")
def weights(root, tmp_path_factory):
    """A small detector of ten digits, saved as a training saves it."""
    cfg = Config.fromfile(root / "configs/retinanet_vanillanet5_digits.py")
    cfg.model.backbone.arch = dict(dims=[8, 16, 32, 64], strides=[2, 2, 2])
    cfg.model.neck.update(in_channels=[16, 32, 64], out_channels=16)
    cfg.model.bbox_head.update(in_channels=16, feat_channels=16)
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), path)
    return path
