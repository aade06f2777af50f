"""Result files, for COCO's tools and for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..fileio import atomic_write
from .packages import load

FILES = ("results.json", "images.json", "results.csv")


def write_results(
    folder: Path,
    records: Iterable[dict[str, Any]],
    classes: Sequence[str],
    incomplete: str = "",
) -> int:
    """Write the results of any number of images; each file is written completely or not at all.

    `results.json` is a list of COCO results. `images.json` is a COCO file with the images and
    categories, so that `COCO("images.json").loadRes("results.json")` reads both. `results.csv` has
    a line per object.

    Args:
        folder: Folder of the files.
        records: A dict per image: `file`, `width`, `height`, `detections` from
            `Detections.to_coco` and, for video frames, `frame`. Images are numbered from 1.
        classes: Class names.
        incomplete: Why the results aren't complete, for `info` in `images.json`.

    Returns:
        Number of objects.
    """
    images, results = [], []
    rows: list[Sequence[Any]] = []
    frames = False
    for image_id, record in enumerate(records, 1):
        size = dict(width=record["width"], height=record["height"])
        image = dict(id=image_id, file_name=record["file"], **size)
        where = [record["file"]]
        if "frame" in record:
            frames = True
            image["frame"] = record["frame"]
            where.append(record["frame"])
        images.append(image)
        for found in record["detections"]:
            results.append({**found, "image_id": image_id})
            left, top, width, height = found["bbox"]
            box = [round(v, 3) for v in (left, top, left + width, top + height)]
            rows.append([*where, classes[found["category_id"] - 1], found["score"], *box])
    categories = [dict(id=index, name=name) for index, name in enumerate(classes, 1)]
    table = io.StringIO()
    header = ["file", *["frame"] * frames, "class", "score", "x1", "y1", "x2", "y2"]
    csv.writer(table).writerows([header, *rows])
    info = dict(incomplete=incomplete) if incomplete else {}
    truth = dict(info=info, licenses=[], images=images, annotations=[], categories=categories)
    contents = (json.dumps(results), json.dumps(truth), table.getvalue())
    for name, content in zip(FILES, contents):
        # File names may not be valid UTF-8. JSON escapes the invalid bytes, the table doesn't.
        write_bytes(folder / name, content.encode("utf-8", "backslashreplace"))
    return len(results)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image completely or not at all.

    Args:
        path: A `.jpg`, `.jpeg` or `.png` file; its folder is created.
        image: uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: The file can't be written.
    """
    _, encoded = load("cv2").imencode(path.suffix, image)
    write_bytes(path, encoded.tobytes())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; its folder is created.

    Raises:
        UserError: The file can't be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)


@contextmanager
def writing(
    path: Path, remedy: str = "free some space, or choose another folder"
) -> Iterator[None]:
    """Convert file system errors in a `with` block to `UserError`.

    Args:
        path: The file or folder being written.
        remedy: What the user can do.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--out {path}: can't be written ({reason}); {remedy}") from error
