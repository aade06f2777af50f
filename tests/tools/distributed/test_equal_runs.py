"""Two ranks do what one process does with the same batch."""

import json
import pickle

import pytest
from torch.testing import assert_close

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributed")]
ONE_EPOCH = "train_cfg.max_epochs=1"


@pytest.fixture
def train_one(run_tool, environment, tmp_path):
    """Train one epoch in one process; returns the losses' folder."""

    def train(config):
        args = ("--work-dir", tmp_path / "one", "--cfg-options", ONE_EPOCH)
        result = run_tool("train", config, *args, env=environment)
        assert result.returncode == 0, result.stderr
        return tmp_path / "one"

    return train


def mean_losses(losses, work_dir):
    first, second = (losses(work_dir, rank) for rank in (0, 1))
    assert all(abs(first[i] - second[i]) > 1e-6 for i in first), "ranks with the same images"
    return [(first[i] + second[i]) / 2 for i in sorted(first)][:5]


def test_losses_are_those_of_one_process(undisturbed, config, train_one, losses):
    # RetinaNet divides by the positives of its own rank: these ranks have equally many.
    expected = list(losses(train_one(config)).values())
    assert len(expected) == 5
    assert_close(mean_losses(losses, undisturbed), expected, rtol=1e-4, atol=0)


def test_without_synchronised_norms_they_are_others(
    undisturbed, config, torchrun, half, losses, tmp_path
):
    plain = (ONE_EPOCH, "model.backbone.norm_cfg.type=BN")
    result = torchrun("train", config, "--work-dir", tmp_path, *half, *plain)
    assert result.returncode == 0, result.stderr
    with pytest.raises(AssertionError, match=r"not close"):
        assert_close(
            mean_losses(losses, tmp_path), mean_losses(losses, undisturbed), rtol=1e-3, atol=0
        )


def test_evaluation_is_that_of_one_process(
    undisturbed, config, run_tool, torchrun, environment, tmp_path
):
    found = {}
    for name, run, options in (
        ("one", run_tool, dict(env=environment)),
        ("two", torchrun, dict(cwd=tmp_path)),
    ):
        out, work_dir = tmp_path / name / "results.pkl", tmp_path / name
        args = (config, undisturbed / "epoch_2.pth", "--work-dir", work_dir, "--out", out)
        result = run("test", *args, **options)
        assert result.returncode == 0, result.stderr
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
