"""An image is evaluated as it is detected: alone, whatever is beside it in its batch."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from vanillanet_det.engine.evaluation_loops import GuardedTestLoop, group_by_size, run_groups

SIZES = [(160, 160), (96, 160), (160, 96), (96, 160), (150, 155), (64, 64)]


@pytest.fixture(scope="module")
def of_many_sizes(small_digits, tmp_path_factory):
    """Validation scenes cut to different sizes: options of a config."""
    folder = tmp_path_factory.mktemp("sizes")
    content = json.loads((small_digits / "annotations/instances_val.json").read_text())
    boxes = []
    for image, size in zip(content["images"], SIZES):
        with Image.open(small_digits / "val" / image["file_name"]) as scene:
            scene.crop((0, 0, *size)).save(folder / image["file_name"])
        image["width"], image["height"] = size
        box = dict(image_id=image["id"], category_id=1, bbox=[2, 2, 20, 20], area=400, iscrowd=0)
        boxes.append(dict(box, id=image["id"]))
    content["annotations"] = boxes
    (folder / "val.json").write_text(json.dumps(content))
    return {
        "test_dataloader.dataset.data_root": "",
        "test_dataloader.dataset.ann_file": str(folder / "val.json"),
        "test_dataloader.dataset.data_prefix": dict(img=str(folder)),
        "test_dataloader.dataset.pipeline": [
            dict(type="LoadReadableImage"),
            dict(type="Resize", scale_factor=1.0, keep_ratio=True),
            dict(type="PackDetInputs"),
        ],
        "test_evaluator.ann_file": str(folder / "val.json"),
    }


class Recorder(BaseMetric):
    """Keeps the detections of each image."""

    def process(self, data_batch, data_samples):
        self.results += [
            (
                sample["img_id"],
                sample["pred_instances"]["bboxes"],
                sample["pred_instances"]["scores"],
            )
            for sample in data_samples
        ]

    def compute_metrics(self, results):
        self.found = results
        return {}


@pytest.fixture
def detect(make_runner, of_many_sizes, detector_file):
    """Function that evaluates in batches; returns the ids and detections of the images."""

    def detect(batch_size, tta=False, **changes):
        changes = {**of_many_sizes, "test_dataloader.batch_size": batch_size, **changes}
        # Anchors and scores that padding changes.
        changes["model.test_cfg.score_thr"] = 0.01
        runner = make_runner(load_from=str(detector_file), **changes)
        if tta:
            cfg = runner.cfg
            cfg.model = dict(**cfg.tta_model, module=cfg.model)
            cfg.experiment_name += " tta"
            cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
            runner = Runner.from_cfg(cfg)
        recorder = Recorder()
        runner.test_evaluator.metrics.append(recorder)
        runner.test()
        return recorder.found

    return detect


def is_equal(found, expected):
    assert [image for image, *_ in found] == [image for image, *_ in expected]
    return all(
        one.shape == other.shape and torch.allclose(one, other, atol=1e-3)
        for row, same in zip(found, expected)
        for one, other in zip(row[1:], same[1:])
    )


def test_a_batch_changes_nothing(detect):
    alone, together = detect(1), detect(6)
    assert sum(len(boxes) for _, boxes, _ in alone) > 50
    assert is_equal(together, alone)
    padded = detect(6, test_cfg=dict(_delete_=True, type="TestLoop"))
    assert not is_equal(padded, alone), "MMEngine's loop pads, or the images aren't affected"


def test_a_batch_changes_nothing_with_test_time_augmentation(detect):
    assert is_equal(detect(4, tta=True), detect(1, tta=True))


@pytest.mark.parametrize("fp16", [False, True])
def test_groups_are_evaluated_in_mixed_precision(fp16):
    seen, calls = [], []

    def step(part):
        seen.append(torch.is_autocast_cpu_enabled())
        assert not torch.is_grad_enabled()
        return part["data_samples"]

    def process(data_samples, data_batch):
        calls.append(data_samples)

    loop = GuardedTestLoop.__new__(GuardedTestLoop)
    stub = SimpleNamespace(test_step=step, data_preprocessor=None)
    loop._runner = SimpleNamespace(model=stub, call_hook=lambda name, **_: calls.append(name))
    loop.fp16, loop.evaluator = fp16, SimpleNamespace(process=process)
    loop.run_iter(0, dict(inputs=images((8, 8), (4, 4), (8, 8)), data_samples=list("abc")))
    assert calls == ["before_test_iter", list("abc"), "after_test_iter"]
    assert seen == [fp16, fp16]


def images(*sizes):
    return [torch.zeros(3, *size) for size in sizes]


def model(divisor):
    made = nn.Identity()
    made.data_preprocessor = SimpleNamespace(pad_size_divisor=divisor)
    return made


def test_images_that_are_padded_to_one_size_stay_together():
    data = dict(inputs=images((64, 60), (64, 33), (32, 64), (64, 64)), data_samples=list("abcd"))
    assert group_by_size(model(32), data) == [[0, 1, 3], [2]]
    assert group_by_size(model(1), data) == [[0], [1], [2], [3]]
    assert group_by_size(nn.Identity(), data) == [[0], [1], [2], [3]]


def test_views_of_an_image_stay_together(one_process_group):
    views = [images((64, 64), (64, 64), (64, 64)), images((32, 32), (32, 64), (32, 32))]
    data = dict(inputs=views, data_samples=[list("abc"), list("ABC")])
    wrapped = nn.Identity()
    wrapped.module = model(32)
    groups = group_by_size(wrapped, data)
    assert groups == [[0, 2], [1]]
    seen = []

    def step(part):
        seen.append(part["data_samples"])
        return [first + second for first, second in zip(*part["data_samples"])]

    assert run_groups(step, data, groups) == ["aA", "bB", "cC"]
    assert seen == [[["a", "c"], ["A", "C"]], [["b"], ["B"]]]
    inner = nn.Linear(1, 1)
    inner.data_preprocessor = model(32).data_preprocessor
    data = dict(inputs=images((64, 64), (64, 33)))
    assert group_by_size(MMDistributedDataParallel(inner), data) == [[0, 1]]


@pytest.mark.parametrize("data", [dict(inputs=torch.zeros(2, 3, 4, 4)), [1, 2], dict(x=1)])
def test_batches_of_other_kinds_are_left_whole(data):
    assert group_by_size(model(32), data) == []
