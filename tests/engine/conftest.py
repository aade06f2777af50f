"""Real runners for hooks and loops."""

import itertools

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

_NUMBERS = itertools.count()


@pytest.fixture
def make_runner(small_config, mmdet_scope, tmp_path):
    """Make a runner over a few scenes, two epochs long."""
    from mmdet.visualization import DetLocalVisualizer

    def make(**changes):
        # One of an earlier test would keep drawing into that test's folder.
        DetLocalVisualizer._instance_dict.clear()
        cfg = Config.fromfile(small_config)
        # By name and second MMEngine finds the logger of an earlier test, and its file, again.
        cfg.experiment_name = f"run {next(_NUMBERS)}"
        cfg.work_dir = str(tmp_path)
        cfg.train_cfg.max_epochs = 2
        cfg.merge_from_dict(changes)
        return Runner.from_cfg(cfg)

    return make


@pytest.fixture
def logged(tmp_path):
    """Read what the runs have logged so far."""
    return lambda: "".join(path.read_text() for path in sorted(tmp_path.rglob("*.log")))
