"""The dataset that the reader of each format returns, and functions to build it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ...errors import UserError, some
from .images import image_size
from .remarks import Remarks, Skipped
from .shapes import rectangle

ROTATED = "Rotated boxes, replaced by the upright boxes around them"  # a remark

CROWD_REMEDY = (
    "if they are single objects, set iscrowd=0 (Pascal VOC: difficult=0), or export polygons: CVAT "
    "exports brush masks as crowds"
)


@dataclass(frozen=True)
class RawDataset:
    """A user's dataset, converted to COCO annotations.

    Attributes:
        format: Name of the format, such as `Pascal VOC`.
        root: Absolute path of the folder that each image's `file_name` is relative to.
        train: COCO's `images`, `annotations` and `categories`. Boxes are `(x, y, width, height)`
            in pixels of the image as displayed.
        val: Like `train`, for the validation images; None if the dataset has no such images.
        classes: Class names, in the order of `categories`, which are the same in both splits.
        remarks: Sentences about the dataset and about what was skipped or changed.
        skipped: Number of images and objects that the dataset's files contain besides.
    """

    format: str
    root: Path
    train: dict
    val: Optional[dict]
    classes: tuple[str, ...]
    remarks: tuple[str, ...]
    skipped: Skipped


class Object(NamedTuple):
    """An annotated object.

    Attributes:
        name: Name of the class.
        box: `[x, y, width, height]` in pixels.
        polygons: Segmentation, `[x1, y1, x2, y2, ...]` for each part; empty if the object only has
            a box.
        crowd: Whether the object is a crowd, which counts neither as detected nor as missed.
        mask: Segmentation in COCO's RLE with `counts` as text, instead of polygons.
    """

    name: str
    box: Sequence[float]
    polygons: Sequence[Sequence[float]] = ()
    crowd: bool = False
    mask: Optional[Mapping[str, Any]] = None


def is_learned(annotation: Mapping[str, Any]) -> bool:
    """Return whether MMDetection trains on an annotation, rather than ignoring it."""
    width, height = annotation["bbox"][2:] if "bbox" in annotation else (1, 1)
    ignored = annotation.get("iscrowd") or annotation.get("ignore")
    return not ignored and width >= 1 and height >= 1


class DatasetBuilder:
    """The images and objects of a split, collected in the order they are read.

    Categories are stored as names until `build_dataset` numbers them.
    """

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add_image(self, file_name: str, size: tuple[int, int]) -> None:
        """Add an image, to which subsequent calls of `add_object` add objects.

        Args:
            file_name: Path relative to the dataset's root, separated by `/`.
            size: Width and height as displayed.
        """
        width, height = size
        image_id = len(self.images) + 1
        self.images.append(dict(id=image_id, file_name=file_name, width=width, height=height))

    def add_object(self, found: Object) -> None:
        """Add an object to the last image."""
        parts = found.polygons
        annotation = dict(
            id=len(self.annotations) + 1,
            image_id=len(self.images),
            category_id=found.name,
            bbox=[round(value, 4) for value in found.box],
            area=round(sum(map(area, parts)) if parts else found.box[2] * found.box[3], 4),
            iscrowd=int(found.crowd),
        )
        if parts:
            annotation["segmentation"] = [[round(value, 4) for value in part] for part in parts]
        if found.mask:
            annotation.update(segmentation=dict(found.mask), area=mask_area(found.mask))
        self.annotations.append(annotation)


def measure(path: Path, remarks: Remarks, objects: int = 0) -> Optional[tuple[int, int]]:
    """Return the width and height of an image as displayed, or None if it can't be read.

    Args:
        path: The image.
        remarks: Where an unreadable image is reported.
        objects: Number of objects in the image.
    """
    try:
        return image_size(path)
    except UserError:
        remarks.missing("Images that can't be read", path.name, images=1, objects=objects)
        return None


def bounds(polygons: Sequence[Sequence[float]]) -> list[float]:
    """Compute the box `[x, y, width, height]` around polygons `[x1, y1, x2, y2, ...]`."""
    left = min(min(part[::2]) for part in polygons)
    top = min(min(part[1::2]) for part in polygons)
    right = max(max(part[::2]) for part in polygons)
    bottom = max(max(part[1::2]) for part in polygons)
    return [left, top, right - left, bottom - top]


def enclosing(box: Sequence[float], degrees: float) -> list[float]:
    """Compute the box around a box that is rotated around its centre."""
    return bounds([rectangle(box, degrees)]) if degrees % 360 else list(box)


def area(polygon: Sequence[float]) -> float:
    """Compute the area of a polygon `[x1, y1, x2, y2, ...]`."""
    x, y = polygon[::2], polygon[1::2]
    next_x, next_y = [*x[1:], x[0]], [*y[1:], y[0]]
    return abs(sum(map(mul, x, next_y)) - sum(map(mul, next_x, y))) / 2


def mask_area(mask: Mapping[str, Any]) -> float:
    """Compute the area of a mask in COCO's RLE with `counts` as text."""
    from pycocotools import mask as coco_mask

    return float(coco_mask.area(dict(mask)))


def build_dataset(
    format: str,
    root: Path,
    parts: Mapping[str, DatasetBuilder],
    remarks: Remarks,
    declared: Optional[Sequence[str]] = None,
) -> RawDataset:
    """Number the classes and build a dataset.

    Args:
        format: Name of the format.
        root: Folder that file names are relative to.
        parts: The builders of `train` and, if it exists, `val`.
        remarks: What was skipped or changed.
        declared: Names of all classes, in order; if None, the used classes are sorted by name.

    Raises:
        UserError: The training images have no objects, or something is missing.
    """
    used = {annotation["category_id"] for part in parts.values() for annotation in part.annotations}
    classes = [name for name in declared if name in used] if declared else sorted(used)
    ids = {name: index for index, name in enumerate(classes, 1)}
    contents = {}
    for split, part in parts.items():
        for annotation in part.annotations:
            annotation["category_id"] = ids[annotation["category_id"]]
        contents[split] = dict(
            images=part.images,
            annotations=part.annotations,
            categories=[dict(id=index, name=name) for name, index in ids.items()],
        )
    unused = [name for name in declared or () if name not in used]
    return make_dataset(format, root, contents, unused, remarks)


def make_dataset(
    format: str,
    root: Path,
    contents: Mapping[str, dict],
    unused: Sequence[str],
    remarks: Remarks,
) -> RawDataset:
    """Build a dataset from COCO annotations that share their categories; see `build_dataset`."""
    remarks.stop_at_missing(f"{format} dataset in {root}")
    train, val = contents["train"], contents.get("val")
    classes = tuple(category["name"] for category in train["categories"])
    if not train["annotations"]:
        raise UserError(
            f"{root}: none of the {len(train['images']):,} training images of this {format} "
            "dataset has an object; annotate some images, or put the annotations where the "
            "format expects them"
        )
    if not any(map(is_learned, train["annotations"])):
        raise UserError(
            f"{root}: all {len(train['annotations']):,} objects of the training images are crowds "
            "(iscrowd=1; Pascal VOC: difficult=1) or boxes under a pixel, which MMDetection "
            f"ignores, so there is nothing to learn; {CROWD_REMEDY}"
        )
    found = f"{format} dataset in {root}: {_counts(train)} for training, "
    found += f"{_counts(val)} for validation" if val else "no validation images"
    sentences = [f"{found}; classes ({len(classes)}): {some(classes)}."]
    if unused:
        sentences.append(f"Classes without objects, skipped: {some(unused)}.")
    sentences += remarks.sentences()
    return RawDataset(format, root, train, val, classes, tuple(sentences), remarks.skipped)


def _counts(content: dict) -> str:
    learned = sum(map(is_learned, content["annotations"]))
    rest = len(content["annotations"]) - learned
    ignored = f" ({rest:,} more are crowds or under a pixel, and ignored)" if rest else ""
    return f"{len(content['images']):,} images with {learned:,} objects{ignored}"
