"""The tools, called in this process or as a user would."""

import subprocess
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from vanillanet_det.datasets.examples import write_example
from vanillanet_det_tools.main import main


@pytest.fixture(scope="session")
def tool():
    """Run a verb of the command in this process; returns its exit status."""

    def call(name, *args):
        args = [name.replace("_", "-"), *map(str, args)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["vanillanet-det", *args])
            try:
                main()
            except SystemExit as exit:
                return exit.code
            finally:
                # Loggers would keep writing to the standard output of this test.
                for logger in MMLogger._instance_dict.values():
                    logger.handlers.clear()
                MMLogger._instance_dict.clear()
        return 0

    return call


@pytest.fixture(scope="session")
def command():
    """Function that makes the command line of a verb, as launchers call it."""

    def make(name, *args):
        return [
            sys.executable,
            "-m",
            "vanillanet_det_tools",
            name.replace("_", "-"),
            *map(str, args),
        ]

    return make


@pytest.fixture
def run_python(tmp_path):
    """Run Python with these arguments in an empty folder."""

    def run(*args):
        args = [sys.executable, *map(str, args)]
        return subprocess.run(args, capture_output=True, text=True, cwd=tmp_path)

    return run


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
