"""The evaluators of a config that judge by COCO's metric, and what they ask of a file."""

from dataclasses import dataclass
from typing import Any, Optional

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from ..errors import UserError
from ..evaluation import FasterCocoMetric
from ..evaluation.coco_metric import find_evaluator


@dataclass(frozen=True)
class Judge:
    """An evaluator.

    Attributes:
        ann_file: The annotation file that it reads; None if it takes the data set's objects.
        measures: What it computes: `bbox`, `segm`; nothing if it only writes detections down.
        is_faster: It computes with faster-coco-eval, which wants all ids to be numbers.
    """

    ann_file: Optional[str]
    measures: tuple[str, ...]
    is_faster: bool


def find_judges(cfg: Config, key: str) -> list[Judge]:
    """Find the evaluators of a dataloader that are MMDetection's `CocoMetric` or made of it.

    Args:
        cfg: The config.
        key: Such as `val_dataloader`, whose evaluator is `val_evaluator`.
    """
    evaluators = cfg.get(evaluator_key(key)) or []
    evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
    kinds = [(_kind(evaluator), evaluator) for evaluator in evaluators]
    return [
        _describe(kind, evaluator)
        for kind, evaluator in kinds
        if isinstance(kind, type) and issubclass(kind, CocoMetric)
    ]


def evaluator_key(key: str) -> str:
    """Name the evaluator of a dataloader."""
    return key.replace("_dataloader", "_evaluator")


def _kind(evaluator: dict) -> Any:
    kind: Any = evaluator.get("type")
    return METRICS.get(kind) if isinstance(kind, str) else kind


def _describe(kind: type, evaluator: dict) -> Judge:
    metric = evaluator.get("metric", "bbox")
    measures = [metric] if isinstance(metric, str) else metric or []
    return Judge(
        ann_file=evaluator.get("ann_file"),
        measures=() if evaluator.get("format_only") else tuple(measures),
        is_faster=issubclass(kind, FasterCocoMetric) and _is_faster(evaluator),
    )


def _is_faster(evaluator: dict) -> bool:
    if evaluator.get("use_mp_eval"):
        return False
    try:
        return find_evaluator(evaluator.get("backend", "auto"))[1] != "pycocotools"
    except UserError:  # said once the evaluator is made
        return False
