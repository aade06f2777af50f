"""Checkpoints of other classes, or of the same classes in another order."""

import pytest
import torch

from vanillanet_det import UserError

CLASSES = tuple("0123456789")
ROWS = "bbox_head.retina_cls.bias"


@pytest.fixture
def start(make_runner, tmp_path):
    """Function that writes a detector for some classes; class i has i as its bias."""

    def write(classes):
        model = make_runner(**{"model.bbox_head.num_classes": len(classes or CLASSES)}).model
        state = model.state_dict()
        count = len(classes or CLASSES)
        state[ROWS] = torch.arange(count).repeat(len(state[ROWS]) // count).float()
        meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
        path = tmp_path / "start.pth"
        torch.save(dict(state_dict=state, meta=meta), path)
        return str(path)

    return write


@pytest.fixture
def load(make_runner, monkeypatch):
    """Function that begins a training and returns the biases of the ten classes."""

    def load(path, **changes):
        runner = make_runner(load_from=path, **changes)
        monkeypatch.setattr(runner.train_loop, "run", lambda: runner.model)
        return runner.train().state_dict()[ROWS].view(-1, 10)

    return load


def test_training_starts_from_the_rows_of_its_classes(start, load, logged):
    assert (load(start(CLASSES)) == torch.arange(10)).all()
    assert "Weights of the classes" not in logged()
    assert (load(start(CLASSES[::-1])) == torch.arange(9, -1, -1)).all()
    assert "Weights of the classes: taken by name for 0, 1, 2" in logged()


def test_training_starts_from_the_rows_that_it_shares(start, load, logged):
    found = load(start(("7", "x", "2")))
    assert (found[:, 7] == 0).all()
    assert (found[:, 2] == 2).all()
    assert (found[:, [0, 1, 3, 4, 5, 6, 8, 9]] < -4).all(), "as a focal loss begins"
    assert "taken by name for 2, 7; random for 0, 1, 3" in logged()


def test_averaged_weights_have_the_same_rows(start, make_runner, monkeypatch):
    ema = [dict(type="EMAHook")]
    runner = make_runner(load_from=start(CLASSES[::-1]), custom_hooks=ema)
    monkeypatch.setattr(runner.train_loop, "run", lambda: runner.model)
    runner.train()
    averaged = next(hook.ema_model for hook in runner.hooks if hasattr(hook, "ema_model")).module
    assert (averaged.state_dict()[ROWS].view(-1, 10) == torch.arange(9, -1, -1)).all()


def test_classes_without_names_are_loaded_or_made_anew(start, load, logged):
    path = start(None)
    assert (load(path) == torch.arange(10)).all()
    remade = dict(type="CheckWeightsHook", remake_unnamed=True)
    assert (load(path, **{"default_hooks.check_weights": remade}) < -4).all()
    assert "random, since the file doesn't name its classes" in logged()


def test_another_order_is_not_evaluated(start, make_runner):
    path = start(CLASSES[::-1])
    said = r"^\S+start\.pth: its classes are 9, 8, .*, but the config's are 0, 1, .*in the checkp"
    with pytest.raises(UserError, match=said):
        make_runner(load_from=path).test()
    with pytest.raises(UserError, match="another one"):
        make_runner(load_from=path, resume=True).train()


def test_other_names_are_said_in_evaluation(start, make_runner, logged):
    path = start(("zero", *CLASSES[1:]))
    make_runner(load_from=path).test()
    assert "its classes are zero, 1, 2" in logged()
    assert "detections are named by the config" in logged()
