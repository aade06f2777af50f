"""faster-coco-eval computes the same metrics as pycocotools."""

import json
import sys

import numpy as np
import pytest
from mmdet.evaluation.metrics import CocoMetric, coco_metric
from mmdet.registry import METRICS
from pycocotools import mask as mask_utils
from pycocotools.cocoeval import COCOeval

from vanillanet_det import UserError
from vanillanet_det.evaluation import FasterCocoMetric

CATEGORIES = [1, 7, 44, 90]
SIZE = (240, 320)


def rectangle(rng):
    (height, width), side = SIZE, rng.choice([12, 40, 110])
    w, h = side * rng.uniform(0.7, 1.4, 2)
    return np.array([rng.uniform(0, width - w), rng.uniform(0, height - h), w, h])


def ellipse(box):
    """Draw a mask that fills most of a box."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    left, top, w, h = box
    inside = ((x - left) / w - 0.5) ** 2 + ((y - top) / h - 0.5) ** 2 < 0.25
    return np.asfortranarray(inside, dtype=np.uint8)


def uncompressed(mask):
    """COCO's run lengths of crowds, which begin with a background run."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"counts": counts if flat[0] == 0 else [0, *counts], "size": list(mask.shape)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Annotation file and detections, of all sizes, with crowds and images without boxes.

    The first image has more detections of a class than 100, where pycocotools takes AP and
    faster-coco-eval does not.
    """
    rng = np.random.default_rng(0)
    images, annotations, detections = [], [], []
    for image_id in range(11, 51):
        images.append(dict(id=image_id, height=SIZE[0], width=SIZE[1], file_name=f"{image_id}.png"))
        found = []
        for _ in range(0 if image_id % 8 == 0 else rng.integers(1, 9)):
            box, label = rectangle(rng), rng.integers(len(CATEGORIES))
            mask, crowd = ellipse(box), bool(rng.random() < 0.2)
            polygon = [[float(v) for x, y in corners(box) for v in (x, y)]]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=CATEGORIES[label],
                    bbox=box.tolist(),
                    area=float(mask.sum()),
                    iscrowd=int(crowd),
                    segmentation=uncompressed(mask) if crowd else polygon,
                )
            )
            found += [(box + rng.normal(0, 0.06, 4) * box[2], label) for _ in range(3)]
        found += [(rectangle(rng), rng.integers(4)) for _ in range(300 if image_id == 11 else 4)]
        if image_id == 11:
            found = [(box, 0) for box, _ in found]
        if image_id % 8 == 1:
            found = []
        boxes = np.array([box for box, _ in found]).reshape(-1, 4).clip(min=1)
        detections.append(
            (
                dict(width=SIZE[1], height=SIZE[0], img_id=image_id),
                dict(
                    img_id=image_id,
                    bboxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
                    scores=rng.random(len(found)).round(2),  # many ties
                    labels=np.array([label for _, label in found], dtype=int),
                    masks=[mask_utils.encode(ellipse(box)) for box in boxes],
                ),
            )
        )
    path = tmp_path_factory.mktemp("coco") / "a.json"
    names = [dict(id=i, name=f"c{i}") for i in CATEGORIES]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=names)))
    return path, detections


def corners(box):
    left, top, w, h = box
    return [(left, top), (left + w, top), (left + w, top + h), (left, top + h)]


@pytest.fixture
def evaluate(scenes):
    """Evaluate detections; returns the metrics and the evaluators, which hold all digits."""

    def run(backend, detections=None, **kwargs):
        path, all_detections = scenes
        metric = METRICS.build(
            dict(type="FasterCocoMetric", ann_file=str(path), backend=backend, **kwargs)
        )
        metric.dataset_meta = dict(classes=[f"c{i}" for i in CATEGORIES])
        used = []

        class Noted(metric._evaluator):
            def __init__(self, *args):
                super().__init__(*args)
                used.append(self)

        metric._evaluator = Noted
        return metric.compute_metrics(detections or all_detections), used

    return run


@pytest.mark.parametrize("proposal_nums", [(100, 300, 1000), (1, 10, 100)])
@pytest.mark.parametrize("metric", [["bbox", "segm"], ["proposal"]])
def test_the_figures_are_those_of_pycocotools(evaluate, metric, proposal_nums):
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    kwargs = dict(metric=metric, proposal_nums=proposal_nums, classwise=True)
    expected, theirs = evaluate("pycocotools", **kwargs)
    found, ours = evaluate("faster-coco-eval", **kwargs)
    assert found == expected
    assert len(ours) == len(metric)
    for a, b in zip(ours, theirs):
        assert isinstance(b, COCOeval)
        assert not isinstance(a, COCOeval)
        assert len(set(b.stats.round(3))) > 7, "figures that tell nothing"
        np.testing.assert_allclose(a.stats, b.stats, rtol=0, atol=1e-12)
        for key in ("precision", "recall"):
            np.testing.assert_allclose(a.eval[key], b.eval[key], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["pycocotools", "faster-coco-eval"])
def test_nothing_detected(evaluate, scenes, backend):
    if backend != "pycocotools":
        pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    nothing = [
        (gt, {k: v if k == "img_id" else v[:0] for k, v in found.items()})
        for gt, found in scenes[1]
    ]
    assert evaluate(backend, nothing)[0] == {}


def test_the_log_says_who_evaluates(evaluate, log):
    evaluate("pycocotools")
    assert "COCO evaluation by pycocotools" in log.text
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    log.clear()
    evaluate("auto")
    assert "COCO evaluation by faster-coco-eval" in log.text


def test_mmdetections_own_metric_is_left_alone(evaluate):
    evaluate("auto")
    assert coco_metric.COCOeval is COCOeval
    with pytest.raises(KeyError):
        evaluate("auto", metric_items=["nothing"])
    assert coco_metric.COCOeval is COCOeval


@pytest.mark.parametrize("broken", [False, True], ids=["missing", "built for another NumPy"])
def test_without_faster_coco_eval_pycocotools_evaluates(
    evaluate, scenes, log, monkeypatch, tmp_path, broken
):
    if broken:
        monkeypatch.delitem(sys.modules, "faster_coco_eval", raising=False)
        (tmp_path / "faster_coco_eval.py").write_text(
            "raise ValueError('numpy.dtype size changed')"
        )
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    path, detections = scenes
    plain = CocoMetric(ann_file=str(path))
    plain.dataset_meta = dict(classes=[f"c{i}" for i in CATEGORIES])
    assert evaluate("auto")[0] == plain.compute_metrics(detections)
    assert "COCO evaluation by pycocotools" in log.text
    with pytest.raises(UserError, match=r"can't be imported .* pip install faster-coco-eval, or"):
        FasterCocoMetric(backend="faster-coco-eval")


def test_a_choice_that_makes_no_sense():
    with pytest.raises(UserError, match=r"backend is 'coco', expected one of auto, pycocotools"):
        FasterCocoMetric(backend="coco")
    with pytest.raises(UserError, match=r"use_mp_eval=True runs pycocotools in several processes"):
        FasterCocoMetric(backend="faster-coco-eval", use_mp_eval=True)
    assert issubclass(FasterCocoMetric(use_mp_eval=True)._evaluator, COCOeval)
