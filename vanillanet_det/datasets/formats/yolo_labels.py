"""YOLO format: finds the label files, and reads their lines."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import UserError
from .files import read_bytes, read_text
from .raw_dataset import Object, bounds
from .remarks import Remarks
from .yolo_classes import is_class_list

_TOLERANCE = 1e-3  # for coordinates outside 0..1, since exporters round them
_CLIPPED = f"Coordinates outside 0..1 by at most {_TOLERANCE}, clipped"
_KEYPOINTS = "Objects with keypoints, for which only the box is used"
_BESIDE = "Label files found beside their images instead of in the folder labels"
_LINE = "class cx cy width height, or class x1 y1 x2 y2 x3 y3 ... for a polygon"


def labels_folder(folder: Path) -> Path:
    """Return the folder of the labels: that of the images, with `labels` for the last `images`."""
    parts, lower = folder.parts, [part.lower() for part in folder.parts]
    if "images" not in lower:
        return folder
    last = len(parts) - 1 - lower[::-1].index("images")
    above = Path(*parts[:last])
    found = [name for name in sorted(os.listdir(above)) if name.lower() == "labels"]
    name = "labels" if "labels" in found or not found else found[0]
    return Path(above, name, *parts[last + 1 :])


def is_label(path: Path) -> bool:
    """Return whether a file may have the labels of an image, by its name."""
    name = path.name
    return name.lower().endswith(".txt") and not is_class_list(name) and not name.startswith(".")


def find_labels(folder: Path, stems: set[str], remarks: Remarks) -> dict[str, Path]:
    """Find the label files of a folder of images: in its `labels` folder, and beside the images.

    Args:
        folder: The folder.
        stems: Names of its images, without their endings.
        remarks: What was skipped or changed; updated in place.

    Returns:
        Name without ending -> label file.

    Raises:
        UserError: There are two label files with the same name and different content.
    """
    sibling, found = labels_folder(folder), {}
    is_alone = sibling == folder or not sibling.is_dir()
    for place in [folder] if is_alone else [sibling, folder]:
        for name in sorted(os.listdir(place)):
            path = place / name
            if not is_label(path):
                continue
            if place == folder:
                if path.stem not in stems and not (is_alone and _starts_with_number(path)):
                    continue  # has another purpose
                remarks.add(_BESIDE, name, not is_alone and path.stem not in found)
            other = found.setdefault(path.stem, path)
            if other != path and read_text(other).split() != read_text(path).split():
                raise UserError(
                    f"{path}: differs from {other}, but both label the image {path.stem!r}; "
                    "keep the right one and remove the other"
                )
    return found


def _starts_with_number(path: Path) -> bool:
    try:
        return all(math.isfinite(float(token)) for token in read_bytes(path).split(None, 1)[:1])
    except ValueError:
        return False


def read_labels(
    path: Path, size: tuple[int, int], names: Sequence[str], remarks: Remarks, keypoints: bool
) -> Iterator[Object]:
    """Read the objects of an image from its label file.

    Args:
        path: The label file.
        size: Width and height of the image as displayed.
        names: The class names, in the order of their indices.
        remarks: What was skipped or changed; updated in place.
        keypoints: Whether each line has a box and keypoints.

    Raises:
        UserError: A line has the wrong number of values, an unknown class or values outside 0..1.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        tokens = line.split()
        if not tokens:
            continue
        try:
            name = _class_name(tokens[0], names)
            if keypoints:
                remarks.add(_KEYPOINTS, path.name)
                del tokens[5:]
            values = _fractions(tokens[1:], path.name, remarks)
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from error
        if len(values) == 4:
            yield Object(name, _box(values, size))
        else:
            scaled = [value * size[i % 2] for i, value in enumerate(values)]
            yield Object(name, bounds([scaled]), [scaled])


def count_objects(path: Path) -> int:
    """Count the objects in a label file without reading them."""
    return sum(bool(line.strip()) for line in read_text(path).splitlines())


def _class_name(token: str, names: Sequence[str]) -> str:
    try:
        index = float(token)
    except ValueError:
        index = math.nan
    if index not in range(len(names)):
        raise ValueError(
            f"class is {token}, expected an integer from 0 to {len(names) - 1} (the classes "
            f"are {', '.join(names[:8])}); correct the line or add the class"
        )
    name = names[int(index)]
    if not name:
        raise ValueError(f"class is {token}, which has no name; name it in the list of classes")
    return name


def _fractions(tokens: Sequence[str], place: str, remarks: Remarks) -> list[float]:
    if len(tokens) != 4 and (len(tokens) < 6 or len(tokens) % 2):
        hint = "; if the last value is a score, remove it" if len(tokens) == 5 else ""
        raise ValueError(f"{len(tokens)} values after the class, expected {_LINE}{hint}")
    try:
        values = list(map(float, tokens))
    except ValueError:
        raise ValueError(
            f"not all of {' '.join(tokens[:8])} are numbers; expected {_LINE}"
        ) from None
    # The sum detects NaN, but min and max may miss it.
    if min(values) >= 0 and max(values) <= 1 and sum(values) >= 0:
        return values
    for index, value in enumerate(values):
        if not -_TOLERANCE <= value <= 1 + _TOLERANCE:  # also true for NaN
            raise ValueError(
                f"{tokens[index]} is outside 0..1; expected {_LINE}, divided by the width and "
                "height of the image"
            )
        values[index] = min(max(value, 0.0), 1.0)
        remarks.add(_CLIPPED, place, value != values[index])
    return values


def _box(values: Sequence[float], size: tuple[int, int]) -> list[float]:
    edges = []
    for centre, length, pixels in zip(values[:2], values[2:], size):
        low, high = centre - length / 2, centre + length / 2
        # If centres and lengths were rounded, an edge may be slightly outside the image.
        low = 0.0 if -_TOLERANCE <= low < 0 else low
        high = 1.0 if 1 < high <= 1 + _TOLERANCE else high
        edges.append((low * pixels, (high - low) * pixels))
    (x, width), (y, height) = edges
    return [x, y, width, height]
