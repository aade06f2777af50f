"""A checkpoint's config is read and never executed."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.checkpoints import Checkpoint
from vanillanet_det.inference import model_config
from vanillanet_det.inference.building import find_config
from vanillanet_det.inference.model_config import check_types

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


def read(text):
    return model_config({"meta": {"cfg": text}})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_is_read(path):
    # The formatter takes seconds and only adds line breaks.
    cfg = Config.fromfile(path)
    if path.stem != "retinanet_vanillanet5_digits":
        object.__setattr__(cfg, "_format_python_code", False)
    assert read(cfg.pretty_text).to_dict() == cfg.to_dict()
    find_config(Checkpoint("a.pth", {"meta": {"cfg": cfg.pretty_text}}), None)


def test_values():
    found = read(
        "a = dict(b=[1, -2.5, 'x', None, True], c=(1,), d={1, 2}, e={'f-g': 1})\n"
        "h = dict({'i-j': dict(k=1)}, l=2)\nm = list((1, 2))\n"
        "n = 1 / 4 + 2 * 3\no = 'a' 'b' + 'c'\n"
        "a['b'] = []\na['e']['new'] = tuple()\n"
    )
    assert found.a == dict(b=[], c=(1,), d={1, 2}, e={"f-g": 1, "new": ()})
    assert found.h == {"i-j": dict(k=1), "l": 2}
    assert found.m == [1, 2]
    assert found.n == 6.25
    assert found.o == "abc"


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "x = open('ran', 'w')",
        "x = __import__('os').system('touch ran')",
        "x = [y for y in 'abc']",
        "x = 'a' * 1000000000000",
        "x = dict(**y)",
        "x = {**y}",
        "x = f'{y}'",
        "x = -'a'",
        "x = y",
        "a.b = 1",
        "a['b']['c'] = 1",
        "a += 1",
        "a = b = 1",
        "open('ran', 'w')",
    ],
)
def test_anything_else_is_refused_and_not_run(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"line 2, .* not a plain value.*--config FILE"):
        read(f"a = 1\n{line}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["x = (", "x = 1 / 0", "x = " + "(" * 5000, "filename = 'a'"])
def test_text_that_is_not_a_config_is_refused(text):
    with pytest.raises(UserError, match=r"the config in the checkpoint.*--config FILE"):
        read(text)


@pytest.mark.parametrize("checkpoint", [{}, {"meta": {}}, {"meta": {"config": "x = y()"}}, [1]])
def test_a_checkpoint_without_a_config(checkpoint):
    assert model_config(checkpoint) is None


@pytest.mark.parametrize(
    "node",
    [
        dict(type="subprocess.getoutput", cmd="touch ran"),
        dict(type="mmengine.dump", obj="x", file="ran"),
        dict(a=[dict(type="os")]),
        dict(nms=dict(type="__import__('os').system('touch ran')")),
        dict(type="KnowledgeDistillationSingleStageDetector", teacher_config="teacher.py"),
        dict(type="CameraMotionCompensation", warp_mode="print(1)"),
    ],
)
def test_an_unregistered_type_is_refused(node):
    with pytest.raises(UserError, match=r"type .* is neither MMDetection|refers to a Python file"):
        check_types(node)
