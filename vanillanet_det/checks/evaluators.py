"""The evaluators of a config that compute COCO metrics, and their annotation files."""

import filecmp
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from ..datasets.formats.files import is_remote
from ..errors import UserError
from ..evaluation import FasterCocoMetric
from ..evaluation.coco_metric import find_evaluator
from .finding import ERROR, Finding


@dataclass(frozen=True)
class EvaluatorSpec:
    """The settings of an evaluator in a config.

    Attributes:
        ann_file: The annotation file; None if the evaluator uses the dataset's objects.
        metrics: `bbox`, `segm`, or both; empty if the evaluator only writes detections.
        is_faster: Whether the evaluator uses faster-coco-eval, which requires numeric ids.
        counts_100: Whether AP counts 100 detections of a class in an image, as on COCO.
    """

    ann_file: Optional[str]
    metrics: tuple[str, ...]
    is_faster: bool
    counts_100: bool


def find_evaluators(cfg: Config, key: str) -> list[EvaluatorSpec]:
    """Find the evaluators of a dataloader whose class is `CocoMetric` or inherits from it.

    Args:
        cfg: The config.
        key: Key of the dataloader; for example, `val_dataloader` belongs to `val_evaluator`.
    """
    evaluators = cfg.get(_evaluator_key(key)) or []
    evaluators = [evaluators] if isinstance(evaluators, dict) else evaluators
    kinds = [(_kind(evaluator), evaluator) for evaluator in evaluators]
    return [
        _make_spec(kind, evaluator)
        for kind, evaluator in kinds
        if isinstance(kind, type) and issubclass(kind, CocoMetric)
    ]


def check_evaluators(cfg: Config, ann_files: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Check that each evaluator reads the annotation file of the dataset that it evaluates.

    Args:
        cfg: The config.
        ann_files: The annotation files of each dataloader's datasets.
    """
    findings = []
    seen = set()
    for key, files in ann_files.items():
        for evaluator in find_evaluators(cfg, key) if len(files) == 1 else ():
            file, expected = evaluator.ann_file, files[0]
            # The test set is often the same as the validation set.
            if not file or (file, expected) in seen:
                continue
            seen.add((file, expected))
            name = f"{_evaluator_key(key)}.ann_file"
            if is_remote(file) or is_remote(expected) or not os.path.isfile(expected):
                continue
            remedy = f"set {name}={expected}, the file of {key}"
            if not os.path.isfile(file):
                message = f"{name}: {file} is missing; {remedy}"
                findings.append(Finding(ERROR, "evaluator-file", message))
            elif not os.path.samefile(file, expected) and not filecmp.cmp(file, expected, False):
                message = f"{name}: {file} differs from the file of {key}, {expected}; {remedy}"
                findings.append(Finding(ERROR, "evaluator-file", message))
    return findings


def _evaluator_key(key: str) -> str:
    return key.replace("_dataloader", "_evaluator")


def _kind(evaluator: dict) -> Any:
    kind: Any = evaluator.get("type")
    return METRICS.get(kind) if isinstance(kind, str) else kind


def _make_spec(kind: type, evaluator: dict) -> EvaluatorSpec:
    metric = evaluator.get("metric", "bbox")
    metrics = [metric] if isinstance(metric, str) else metric or []
    return EvaluatorSpec(
        ann_file=evaluator.get("ann_file"),
        metrics=() if evaluator.get("format_only") else tuple(metrics),
        is_faster=issubclass(kind, FasterCocoMetric) and _is_faster(evaluator),
        # With several processes, MMDetection counts the last of proposal_nums.
        counts_100=kind.compute_metrics is CocoMetric.compute_metrics
        and not evaluator.get("use_mp_eval"),
    )


def _is_faster(evaluator: dict) -> bool:
    if evaluator.get("use_mp_eval"):
        return False
    try:
        return find_evaluator(evaluator.get("backend", "auto"))[1] != "pycocotools"
    except UserError:  # this error is reported when the evaluator is built
        return False
