"""Two ranks do what one process does with the same batch."""

import json
import pickle

import pytest
from torch.testing import assert_close

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributed")]
ONE_EPOCH = "train_cfg.max_epochs=1"


@pytest.fixture
def one(tool, environment, monkeypatch):
    """Run a tool in this process alone, without a GPU as the ranks."""
    monkeypatch.syspath_prepend(environment["PYTHONPATH"])
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cpu")

    def run(*args):
        assert tool(*args) == 0

    return run


def mean_losses(losses, work_dir):
    pairs = list(zip(*(losses(work_dir, rank).values() for rank in (0, 1))))[:5]  # one epoch
    assert all(abs(first - second) > 1e-6 for first, second in pairs), "ranks with the same images"
    return [(first + second) / 2 for first, second in pairs]


def test_losses_are_those_of_one_process(undisturbed, config, one, losses, tmp_path):
    one("train", config, "--work-dir", tmp_path, "--cfg-options", ONE_EPOCH)
    # RetinaNet divides by the positives of its own rank: these ranks have equally many.
    expected = list(losses(tmp_path).values())
    assert len(expected) == 5
    assert_close(mean_losses(losses, undisturbed), expected, rtol=1e-4, atol=0)


def test_without_synchronised_norms_they_are_others(undisturbed, poisoned, losses):
    # The poison comes after the epoch that is compared.
    plain, synchronised = (mean_losses(losses, folder) for folder in (poisoned[0], undisturbed))
    assert len(plain) == len(synchronised) == 5
    with pytest.raises(AssertionError, match=r"not close"):
        assert_close(plain, synchronised, rtol=1e-3, atol=0)


def test_evaluation_is_that_of_one_process(undisturbed, config, one, torchrun, tmp_path):
    def two(*args):
        result = torchrun(*args, cwd=tmp_path)
        assert result.returncode == 0, result.stderr

    found = {}
    for name, run in (("one", one), ("two", two)):
        out, work_dir = tmp_path / name / "results.pkl", tmp_path / name
        args = (config, undisturbed / "epoch_2.pth", "--work-dir", work_dir, "--out", out)
        run("test", *args)
        assert sorted(path.name for path in work_dir.glob("*results*")) == ["results.pkl"]
        (metrics,) = work_dir.glob("*/*.json")
        found[name] = json.loads(metrics.read_text()), pickle.loads(out.read_bytes())  # noqa: S301
    for metrics, _ in found.values():
        for name in [name for name in metrics if name.endswith("time")]:
            del metrics[name]
    assert found["one"][0] == found["two"][0]
    assert found["one"][0]["coco/AR@100"] > 0, "nothing to compare"
    # Each of the five images once.
    one, two = ({image["img_path"]: image for image in results} for _, results in found.values())
    assert len(one) == len(found["two"][1]) == 5
    for path, image in one.items():
        assert_close(image["pred_instances"], two[path]["pred_instances"], rtol=0, atol=0)
