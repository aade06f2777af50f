"""Checks segmentations, which objects need if the model predicts masks."""

from collections.abc import Iterator
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from .annotation_file import AnnotationFile
from .classes import read_classes
from .datasets import Dataset
from .finding import ERROR, Finding
from .outlines import check_outlines

_REMEDY = "add segmentations, remove such annotations, or use a config that only predicts boxes"


def check_segmentations(file: AnnotationFile) -> list[Finding]:
    """Check segmentations, and that objects have one if masks are loaded or evaluated.

    Args:
        file: The annotation file.

    Returns:
        A finding for each kind of mistake.
    """
    dataset, annotations = file.dataset, file.annotations
    evaluators = [each for each in dataset.evaluators if "segm" in each.metrics]
    loads_masks = _loads_masks(dataset)
    findings = list(check_outlines(file, loads_masks, bool(evaluators)))
    if not evaluators and not loads_masks:
        return findings
    bare = [index for index, each in enumerate(annotations) if not each.get("segmentation")]
    if not bare:
        return findings
    names = file.category_names
    classes = read_classes(dataset, names)[1]
    used = [classes is None or name in classes for name in names]
    bare = [i for i in bare if file.category_indices[i] >= 0 and used[file.category_indices[i]]]
    missing: list[Finding] = []
    if loads_masks:
        missing = file.findings(
            ERROR,
            "outline-missing",
            [index for index in bare if _is_loaded(file, index)],
            lambda index: f"{file.name(index)} has no segmentation",
            f"LoadAnnotations(with_mask=True) fails on it; {_REMEDY}",
        )
    if evaluators and not missing:
        is_faster = all(evaluator.is_faster for evaluator in evaluators)
        missing = file.findings(
            ERROR,
            "outline-missing",
            # faster-coco-eval treats an empty list as an object that can't be detected.
            [i for i in bare if not (is_faster and annotations[i].get("segmentation") == [])],
            lambda index: f"{file.name(index)} has no segmentation",
            f"the evaluation of segm fails on it; {_REMEDY}",
        )
    return findings + missing


def _loads_masks(dataset: Dataset) -> bool:
    parses = getattr(dataset.kind, "parse_data_info", None)
    return parses is CocoDataset.parse_data_info and any(
        _needs_masks(step) for step in _steps(dataset.cfg.get("pipeline"))
    )


def _steps(node: Any) -> Iterator[dict]:
    """Yield a pipeline's transforms, including those nested in others such as RandomChoice."""
    if isinstance(node, dict):
        yield node
        yield from _steps(node.get("transforms"))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _steps(child)


def _needs_masks(step: dict) -> bool:
    kind: Any = step.get("type")
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    # Other loaders may handle objects without a segmentation.
    is_mmdet = getattr(kind, "_process_masks", None) is LoadAnnotations._process_masks
    return is_mmdet and bool(step.get("with_mask"))


def _is_loaded(file: AnnotationFile, index: int) -> bool:
    """Return whether MMDetection's CocoDataset keeps an annotation."""
    cfg = file.dataset.cfg
    min_size = (cfg.get("filter_cfg") or {}).get("min_size", 0)
    annotation, image = file.annotations[index], file.images[file.image_indices[index]]
    if annotation.get("ignore") or file.image_indices[index] < 0:
        return False
    try:
        x, y, width, height = annotation["bbox"]
        inside = min(x + width, image["width"]) > max(x, 0)
        inside &= min(y + height, image["height"]) > max(y, 0)
        inside &= cfg.get("test_mode") or min(image["width"], image["height"]) >= min_size
        return inside and annotation["area"] > 0 and width >= 1 and height >= 1
    except (KeyError, TypeError, ValueError, OverflowError):  # reported by other checks
        return False
