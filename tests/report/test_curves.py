"""Curves read from the logs of one run and of several."""

import math

import pytest
from mmengine.visualization import LocalVisBackend

from vanillanet_det.report import Series, read_curves


@pytest.fixture
def make_run(tmp_path):
    """Log as a run does: losses at iterations, AP at epochs of 100 iterations."""

    def make(name, steps, loss, ap=None, **more):
        backend = LocalVisBackend(str(tmp_path / name / "vis_data"))
        for step in steps:
            line = {"lr": 0.1, "loss": loss + step, "loss_cls": 0.5, "time": 0.1, "iter": step}
            epoch = math.ceil(step / 100)
            line.update(more, epoch=epoch)
            backend.add_scalars(line, step=step, file_path=f"{name}.json")
            if ap is not None and step % 100 == 0:
                found = {"coco/bbox_mAP": ap + epoch / 64, "coco/bbox_mAP_l": -1.0, "time": 1.0}
                backend.add_scalars(found, step=epoch, file_path=f"{name}.json")
        return tmp_path / name / "vis_data"

    return make


def test_losses_rate_and_metrics_have_their_steps(make_run, tmp_path):
    make_run("20260101_000000", [50, 100, 150, 200], 1, ap=0.25)
    curves = read_curves(tmp_path)
    assert curves
    assert curves.losses == {
        "loss": Series((50, 100, 150, 200), (51, 101, 151, 201)),
        "loss_cls": Series((50, 100, 150, 200), (0.5,) * 4),
    }
    assert curves.learning_rate == Series((50, 100, 150, 200), (0.1,) * 4)
    assert curves.act_lambda is None
    # -1 means no instances of that size.
    assert curves.metrics == {"coco/bbox_mAP": Series((1, 2), (0.25 + 1 / 64, 0.25 + 2 / 64))}


def test_lambda_and_the_rate_before_its_decay(make_run, tmp_path):
    make_run("20260101_000000", [50], 1, act_lambda=0.25, base_lr=0.4)
    curves = read_curves(tmp_path)
    assert curves.act_lambda == Series((50,), (0.25,))
    assert curves.learning_rate == Series((50,), (0.4,))


def test_a_resumed_run_replaces_what_it_repeats(make_run, tmp_path):
    make_run("20260102_000000", [150, 200, 250, 300], 1000, ap=0.5)
    make_run("20260101_000000", [50, 100, 150, 200, 210], 0, ap=0.25)
    curves = read_curves(tmp_path)
    assert curves.losses["loss"] == Series(
        (50, 100, 150, 200, 250, 300), (50, 100, 1150, 1200, 1250, 1300)
    )
    assert curves.metrics["coco/bbox_mAP"] == Series(
        (1, 2, 3), (0.25 + 1 / 64, 0.5 + 2 / 64, 0.5 + 3 / 64)
    )


def test_a_restarted_training_replaces_the_old_one(make_run, tmp_path):
    make_run("20260101_000000", [50, 100, 150, 200], 0, ap=0.25)
    make_run("20260102_000000", [50], 1000)
    curves = read_curves(tmp_path)
    assert curves.losses["loss"] == Series((50,), (1050,))
    assert curves.metrics == {}


def test_both_files_of_a_run_are_read_once_and_either_will_do(make_run, tmp_path):
    folder = make_run("20260101_000000", [50, 100], 0)
    both = read_curves(tmp_path)
    (folder / "scalars.json").unlink()
    assert read_curves(tmp_path) == both


def test_broken_lines_of_a_killed_run_are_skipped(make_run, tmp_path):
    file = make_run("20260101_000000", [50, 100], 0) / "scalars.json"
    whole = read_curves(tmp_path)
    file.write_bytes(file.read_bytes() + b'[1]\n{"step": "x"}\n\xff\x00\n{"loss": 3.1, "iter": 15')
    assert read_curves(tmp_path) == whole


def test_a_loss_of_nan_stays_a_gap(make_run, tmp_path):
    make_run("20260101_000000", [50], math.nan)
    assert math.isnan(read_curves(tmp_path).losses["loss"].y[0])


def test_names_with_their_phase_are_the_same(tmp_path):
    backend = LocalVisBackend(str(tmp_path / "1/vis_data"))
    backend.add_scalars({"train/loss": 2.0, "iter": 1}, step=1)
    assert read_curves(tmp_path).losses == {"loss": Series((1,), (2.0,))}


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_without_logs_there_are_no_curves(tmp_path, folder):
    assert not read_curves(tmp_path / folder)
