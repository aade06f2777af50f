"""COCO datasets as Ultralytics reads datasets."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..fileio import atomic_write


def write_yolo(splits: Mapping[str, dict[str, Any]], root: Path, folder: Path) -> tuple[Path, int]:
    """Write datasets in YOLO's format; images are linked to.

    Args:
        splits: COCO datasets by their names, `train` and `val`, with the same categories.
        root: Folder of their images.
        folder: Where to write `data.yaml`, and the folders `images` and `labels`.

    Returns:
        The path of `data.yaml`, and the number of crowds, which YOLO's format lacks and which are
        left out.
    """
    crowds = 0
    for name, coco in splits.items():
        images, labels = folder / "images" / name, folder / "labels" / name
        for each in (images, labels):
            each.mkdir(parents=True, exist_ok=True)
        classes = {category["id"]: i for i, category in enumerate(coco["categories"])}
        objects = defaultdict(list)
        for annotation in coco["annotations"]:
            objects[annotation["image_id"]].append(annotation)
        for number, image in enumerate(coco["images"]):
            source = root / image["file_name"]
            link = images / f"{number:06d}{source.suffix}"  # names in folders may be alike
            link.unlink(missing_ok=True)
            _link(source.resolve(), link)
            found = objects[image["id"]]
            crowds += sum(bool(each.get("iscrowd")) for each in found)
            lines = [
                f"{classes[each['category_id']]} {_box(each['bbox'], image)}\n"
                for each in found
                if not each.get("iscrowd")
            ]
            _write(labels / f"{link.stem}.txt", "".join(lines))
    names = [category["name"] for category in splits["train"]["categories"]]
    content = dict(path=str(folder.resolve()), names=dict(enumerate(names)))
    content.update({name: f"images/{name}" for name in splits})
    _write(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    return folder / "data.yaml", crowds


def _link(source: Path, link: Path) -> None:
    try:
        link.symlink_to(source)
    except OSError:  # Windows needs a privilege for it
        os.link(source, link)


def _box(box: list[float], image: Mapping[str, Any]) -> str:
    """Return centre and size of a box, as shares of the image, within the image."""
    left, top, width, height = box
    right, bottom = min(left + width, image["width"]), min(top + height, image["height"])
    left, top = max(left, 0), max(top, 0)
    numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    sides = (image["width"], image["height"]) * 2
    return " ".join(f"{value / side:.6f}" for value, side in zip(numbers, sides))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
