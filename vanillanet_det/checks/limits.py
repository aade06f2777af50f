"""The numbers of detections, proposals and candidates that a detector is limited to per image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..evaluation.max_dets import MAX_DETECTIONS, detections_needed
from .finding import WARNING, Finding
from .objects import Objects

# How many of each kind a detector needs for each detection. MMDetection's defaults are 10
# candidates and, in two-stage detectors, 10 proposals; 3 proposals are common, too. Candidates with
# masks of the whole image take much memory.
_DETECTIONS, _PROPOSALS, _CANDIDATES, _WITH_MASKS = 1, 3, 10, 2
_OF_DETECTIONS = ("max_per_img", "max_per_image", "topk")
_MAX_OVERLAPPING = 0.02  # share of objects; a few boxes overlap in any dataset
_QUERIES = ("num_queries", "num_query", "num_proposals")


@dataclass(frozen=True)
class Limit:
    """A number in a model's config that limits how many objects of an image can be detected.

    Attributes:
        key: Where it is, such as `model.test_cfg.max_per_img`.
        node: The dict that it is in.
        per_detection: How many of these a detector should have for each detection.
        is_fixed: Whether weights depend on the number, such as that of a transformer's queries.
    """

    key: str
    node: dict
    per_detection: int = _DETECTIONS
    is_fixed: bool = False

    @property
    def name(self) -> str:
        """Key of the number in `node`."""
        return self.key.rpartition(".")[2]

    @property
    def value(self) -> int:
        """The number."""
        return self.node[self.name]


def find_limits(cfg: dict) -> list[Limit]:
    """Find the limits of a config's `model` and `tta_model`; not every detector has all of them."""
    model = _get(cfg, "model")
    test, train = (_get(model, key) for key in ("test_cfg", "train_cfg"))
    found = [*_limits("model.test_cfg", test)]
    found += _limits("model.test_cfg.rcnn", _get(test, "rcnn"))
    pre = _WITH_MASKS if model.get("mask_head") else _CANDIDATES
    found += _limits("model.test_cfg", test, ("nms_pre",), pre)
    if model.get("roi_head"):
        for key, node in (
            ("model.test_cfg.rpn", _get(test, "rpn")),
            ("model.train_cfg.rpn_proposal", _get(train, "rpn_proposal")),
        ):
            found += _limits(key, node, ("nms_pre", "max_per_img"), _PROPOSALS)
    for key in ("", "bbox_head", "rpn_head", "panoptic_head"):
        node = _get(model, key) if key else model
        found += _limits(f"model.{key}".rstrip("."), node, _QUERIES, is_fixed=True)
    tta = _get(_get(cfg, "tta_model"), "tta_cfg")
    return [*found, *_limits("tta_model.tta_cfg", tta)]


def _limits(
    key: str,
    node: dict,
    names: tuple[str, ...] = _OF_DETECTIONS,
    per_detection: int = _DETECTIONS,
    is_fixed: bool = False,
) -> Iterator[Limit]:
    for name in names:
        # -1 stands for no limit.
        if isinstance(node.get(name), int) and node[name] > 0:
            yield Limit(f"{key}.{name}", node, per_detection, is_fixed)


def _get(node: dict, key: str) -> dict:
    child: Any = node.get(key)
    return child if isinstance(child, dict) else {}


def check_limits(cfg: Config, datasets: Sequence[Objects]) -> Iterator[Finding]:
    """Check that a detector can return, and an evaluator counts, all objects of an image.

    Args:
        cfg: The config.
        datasets: The annotations of all datasets.
    """
    limits = find_limits(cfg)
    seen = set()
    for each in datasets:
        where, counts = each.file.dataset.where, each.count_by_image()
        most = int(counts.max(initial=0))
        low = [limit for limit in limits if limit.value < most]
        if low and each.file.dataset.ann_file not in seen:
            seen.add(each.file.dataset.ann_file)
            yield _limit_finding(where, each.file.images[int(counts.argmax())], most, low)
        yield from _check_max_dets(each)
        yield from _check_nms(cfg, each)


def _limit_finding(where: str, image: dict, most: int, low: Sequence[Limit]) -> Finding:
    numbers = ", ".join(f"{limit.key} is {limit.value}" for limit in low)
    needed = detections_needed(most)
    remedy = " ".join(
        f"{limit.key}={needed * limit.per_detection}" for limit in low if not limit.is_fixed
    )
    if any(limit.is_fixed for limit in low):
        remedy = "use a detector without a fixed number of queries, or split the images into tiles"
    else:
        remedy = f"set {remedy}"
    message = (
        f"{where}: image {image.get('id')} has {most} objects, but {numbers}, so some can't be "
        f"detected; {remedy}"
    )
    return Finding(WARNING, "detection-limit", message)


def _check_max_dets(objects: Objects) -> Iterator[Finding]:
    dataset = objects.file.dataset
    evaluators = [each for each in dataset.evaluators if each.counts_100]
    most = int(objects.count_by_image(by_class=True).max(initial=0)) if evaluators else 0
    if most > MAX_DETECTIONS:
        key = dataset.key.replace("_dataloader", "_evaluator")
        message = (
            f"{dataset.where}: an image has {most} objects of one class, but CocoMetric's AP "
            f"counts {MAX_DETECTIONS} detections of a class in an image; set "
            f"{key}.type='FasterCocoMetric', which counts enough"
        )
        yield Finding(WARNING, "evaluator-limit", message)


def _check_nms(cfg: Config, objects: Objects) -> Iterator[Finding]:
    test = _get(_get(cfg, "model"), "test_cfg")
    for key, node in (("model.test_cfg", test), ("model.test_cfg.rcnn", _get(test, "rcnn"))):
        nms = _get(node, "nms")
        threshold = nms.get("iou_threshold")
        if nms.get("type", "nms") != "nms" or not isinstance(threshold, (int, float)):
            continue
        lost, learned = objects.count_overlapping(threshold), int(objects.is_learned.sum())
        if lost > _MAX_OVERLAPPING * learned:
            message = (
                f"{objects.file.dataset.where}: {lost:,} of {learned:,} objects overlap another of "
                f"their class by an IoU above {key}.nms.iou_threshold={threshold:g}, so NMS drops "
                "even perfect detections of them; raise it, for example to 0.7"
            )
            yield Finding(WARNING, "nms-overlap", message, lost)
