"""What every reader gives, and how one is put together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ...errors import UserError
from .files import some


@dataclass(frozen=True)
class Source:
    """A data set as it was found, in COCO's terms.

    Attributes:
        form: `COCO`, `YOLO`, `Pascal VOC` or `LabelMe`.
        root: Absolute folder that every image's `file_name` is relative to.
        train: COCO content: `images`, `annotations` and `categories`. Boxes are `(x, y, width,
            height)` in pixels of the image as it is displayed.
        val: The same of the validation images; None where the data set has none.
        classes: Names, in the order of `categories`, which is the same in both parts.
        remarks: Whole sentences: what was found, and what was left out or changed.
    """

    form: str
    root: Path
    train: dict
    val: Optional[dict]
    classes: tuple[str, ...]
    remarks: tuple[str, ...]


class Object(NamedTuple):
    """An object of an image.

    Attributes:
        name: Its class.
        box: `[x, y, width, height]` in pixels.
        polygons: Its outline, `[x1, y1, x2, y2, ...]` for each part; none for a box alone.
        crowd: It counts neither as found nor as missed.
    """

    name: str
    box: Sequence[float]
    polygons: Sequence[Sequence[float]] = ()
    crowd: bool = False


class Content:
    """Images and their objects, collected in the order they are read.

    Categories are names until `make_source` knows all of them.
    """

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add_image(self, file_name: str, size: tuple[int, int]) -> None:
        """Add an image; the objects added after it are its own.

        Args:
            file_name: Relative to the root of the data set, with `/`.
            size: Width and height as displayed.
        """
        width, height = size
        image_id = len(self.images) + 1
        self.images.append(dict(id=image_id, file_name=file_name, width=width, height=height))

    def add_object(self, found: Object) -> None:
        """Add an object of the last image."""
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
        self.annotations.append(annotation)


def bounds(polygons: Sequence[Sequence[float]]) -> list[float]:
    """Compute the box `[x, y, width, height]` around polygons `[x1, y1, x2, y2, ...]`."""
    left = min(min(part[::2]) for part in polygons)
    top = min(min(part[1::2]) for part in polygons)
    right = max(max(part[::2]) for part in polygons)
    bottom = max(max(part[1::2]) for part in polygons)
    return [left, top, right - left, bottom - top]


def area(polygon: Sequence[float]) -> float:
    """Compute the area of a polygon `[x1, y1, x2, y2, ...]`."""
    x, y = polygon[::2], polygon[1::2]
    next_x, next_y = [*x[1:], x[0]], [*y[1:], y[0]]
    return abs(sum(map(mul, x, next_y)) - sum(map(mul, next_x, y))) / 2


def make_source(
    form: str,
    root: Path,
    parts: Mapping[str, Content],
    remarks: Counter,
    declared: Optional[Sequence[str]] = None,
) -> Source:
    """Number the classes and put a data set together.

    Args:
        form: As in `Source`.
        root: As in `Source`.
        parts: What `train` and, if there is one, `val` hold.
        remarks: What was met, and how often; whole sentences stand for themselves.
        declared: Names of all classes in their order; without it the used ones are sorted.

    Raises:
        UserError: The training images have no object.
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
    return assemble(form, root, contents, unused, remarks)


def assemble(
    form: str,
    root: Path,
    contents: Mapping[str, dict],
    unused: Sequence[str],
    remarks: Counter,
) -> Source:
    """Make a source of contents whose categories are the same; see `make_source`."""
    train, val = contents["train"], contents.get("val")
    classes = tuple(category["name"] for category in train["categories"])
    if not train["annotations"]:
        raise UserError(
            f"{root}: none of the {len(train['images']):,} training images of this {form} data set "
            "has an object; annotate some, or put the annotations where the form has them"
        )
    found = f"{form} data set in {root}: {_counts(train)} for training, "
    found += f"{_counts(val)} for validation" if val else "no validation images"
    sentences = [f"{found}; classes ({len(classes)}): {some(classes)}."]
    if unused:
        sentences.append(f"Classes without any object, left out: {some(unused)}.")
    sentences += [
        text if text.endswith(".") else f"{text}: {count:,}."
        for text, count in remarks.items()
        if count
    ]
    return Source(form, root, train, val, classes, tuple(sentences))


def _counts(content: dict) -> str:
    return f"{len(content['images']):,} images with {len(content['annotations']):,} objects"
