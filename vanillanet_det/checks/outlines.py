"""Outlines of objects, for models that learn masks."""

from collections.abc import Iterator
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS

from .classes import read_classes
from .content import Content
from .datasets import Dataset
from .finding import ERROR, Finding
from .found import Found

_REMEDY = "add outlines, take such annotations out, or use a config of boxes alone"


def check_outlines(dataset: Dataset, content: Content) -> list[Finding]:
    """Check that objects have outlines where masks are loaded or evaluated.

    Args:
        dataset: The data set.
        content: What is in its annotation file.

    Returns:
        At most one finding.
    """
    found = Found(dataset, content)
    judges = [judge for judge in dataset.judges if "segm" in judge.measures]
    annotations, loads = content.annotations, _loads_masks(dataset)
    if not judges and not loads:
        return []
    bare = [place for place, each in enumerate(annotations) if not each.get("segmentation")]
    if not bare:
        return []
    names = [str(category.get("name")) for category in content.categories]
    classes = read_classes(dataset, names)[1]
    learnt = [classes is None or name in classes for name in names]
    bare = [
        p for p in bare if content.category_places[p] >= 0 and learnt[content.category_places[p]]
    ]
    if loads:
        found.add(
            ERROR,
            "outline-missing",
            [place for place in bare if _is_loaded(dataset, content, place)],
            lambda place: f"{found.name(place)} has no segmentation",
            f"LoadAnnotations(with_mask=True) fails at it; {_REMEDY}",
        )
    if judges and not found.findings:
        is_faster = all(judge.is_faster for judge in judges)
        found.add(
            ERROR,
            "outline-missing",
            # faster-coco-eval takes an empty list for an object that can't be found.
            [p for p in bare if not (is_faster and annotations[p].get("segmentation") == [])],
            lambda place: f"{found.name(place)} has no segmentation",
            f"the evaluation of segm fails at it; {_REMEDY}",
        )
    return found.findings


def _loads_masks(dataset: Dataset) -> bool:
    parses = getattr(dataset.kind, "parse_data_info", None)
    return parses is CocoDataset.parse_data_info and any(
        _needs_masks(step) for step in _steps(dataset.cfg.get("pipeline"))
    )


def _steps(node: Any) -> Iterator[dict]:
    """Find the transforms of a pipeline, those in others such as RandomChoice too."""
    if isinstance(node, dict):
        yield node
        yield from _steps(node.get("transforms"))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _steps(child)


def _needs_masks(step: dict) -> bool:
    kind: Any = step.get("type")
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    # Other loaders may know what to do with objects that have none.
    theirs = getattr(kind, "_process_masks", None) is LoadAnnotations._process_masks
    return theirs and bool(step.get("with_mask"))


def _is_loaded(dataset: Dataset, content: Content, place: int) -> bool:
    """Tell whether MMDetection's CocoDataset takes an annotation; it drops some."""
    smallest = (dataset.cfg.get("filter_cfg") or {}).get("min_size", 0)
    annotation, image = content.annotations[place], content.images[content.image_places[place]]
    if annotation.get("ignore") or content.image_places[place] < 0:
        return False
    try:
        x, y, width, height = annotation["bbox"]
        inside = min(x + width, image["width"]) > max(x, 0)
        inside &= min(y + height, image["height"]) > max(y, 0)
        inside &= dataset.cfg.get("test_mode") or min(image["width"], image["height"]) >= smallest
        return inside and annotation["area"] > 0 and width >= 1 and height >= 1
    except (KeyError, TypeError, ValueError, OverflowError):  # said elsewhere
        return False
