"""Writes the embedded scenes, with the classes even and odd, in any supported dataset format.

python -m vanillanet_det.datasets.examples FOLDER --format yolo
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union
from xml.etree import ElementTree

from ..errors import UserError
from .digits import NUM_SCENES, ensure_digits

CLASSES = ("even", "odd")
_COCO_IDS = {"even": 3, "odd": 7}  # with gaps, as in many datasets
_SIDES = ("width", "height")
_INSET = 0.125  # distance of the embedded polygons from the edges of their pixels


def write_example(
    folder: Union[str, Path],
    format: str,
    num_scenes: Optional[Mapping[str, int]] = None,
    digits: Union[str, Path, None] = None,
) -> Path:
    """Write the embedded scenes as a dataset with two classes, even and odd.

    Images, classes and boxes are the same in all formats. All formats except Pascal VOC also
    contain segmentations. The files are written to a temporary folder, which is renamed once it is
    complete.

    Args:
        folder: Folder to create.
        format: `coco`, `yolo`, `voc` or `labelme`.
        num_scenes: Number of scenes in `train` and `val`; if None, 2,000 and 200.
        digits: Folder of the embedded dataset to read the images from, created if missing; if
            None, the images are drawn again.

    Returns:
        The path of the folder.

    Raises:
        UserError: The format is unknown, or the folder isn't empty or can't be written.
    """
    folder = Path(folder)
    if format not in FORMATS:
        raise UserError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: already exists; remove the folder, or choose another one")
    target = folder.resolve()
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        source = ensure_digits(digits or temporary / "digits", num_scenes=num_scenes)
        written = temporary / "written"
        for split in ("train", "val"):
            FORMATS[format](written, split, source / split, _scenes(source, split))
        os.replace(written, target)
    except OSError as error:
        raise UserError(
            f"{folder}: can't be written ({error.strerror or error}), and no files were kept; free "
            "some space, or choose another folder"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _scenes(digits: Path, split: str) -> list[tuple[dict, list[dict]]]:
    """Return each image of a split with its annotations, whose class is stored as `name`."""
    content = json.loads((digits / "annotations" / f"instances_{split}.json").read_text())
    of_image = defaultdict(list)
    for annotation in content["annotations"]:
        name = CLASSES[(annotation["category_id"] - 1) % 2]
        outline = [_to_edges(part, annotation["bbox"]) for part in annotation["segmentation"]]
        found = {**annotation, "name": name, "segmentation": outline}
        of_image[annotation["image_id"]].append(found)
    return [(image, of_image[image["id"]]) for image in content["images"]]


def _to_edges(part: Sequence[float], box: Sequence[float]) -> list[float]:
    """Snap a polygon's outermost points to its box: most formats derive boxes from polygons."""
    moved = []
    for index, value in enumerate(part):
        low = box[index % 2]
        high = low + box[index % 2 + 2]
        value = low if value <= low + _INSET else value
        moved.append(high if value >= high - _INSET else value)
    return moved


def _take_image(source: Path, image: dict, split: str, folder: Path) -> str:
    """Link or copy an image under a name that is unique across splits."""
    name = f"{split}_{image['file_name']}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source / image["file_name"], folder / name)
    except OSError:  # the folder is on another file system, or on one without hard links
        shutil.copyfile(source / image["file_name"], folder / name)
    return name


Scenes = Sequence[tuple[dict, list[dict]]]


def _write_coco(root: Path, split: str, source: Path, scenes: Scenes) -> None:
    images, annotations = [], []
    for image, found in scenes:
        name = _take_image(source, image, split, root / split)
        images.append({**image, "file_name": name})
        for annotation in found:
            category_id = _COCO_IDS[annotation["name"]]
            kept = {key: value for key, value in annotation.items() if key != "name"}
            annotations.append({**kept, "category_id": category_id})
    categories = [dict(id=category_id, name=name) for name, category_id in _COCO_IDS.items()]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def _write_yolo(root: Path, split: str, source: Path, scenes: Scenes) -> None:
    labels = root / "labels" / split
    labels.mkdir(parents=True)
    for image, found in scenes:
        name = _take_image(source, image, split, root / "images" / split)
        sides = [image[side] for side in _SIDES]
        lines = []
        for annotation in found:
            outline = _one_outline(annotation["segmentation"])
            numbers = [f"{value / sides[i % 2]:.8g}" for i, value in enumerate(outline)]
            lines.append(f"{CLASSES.index(annotation['name'])} {' '.join(numbers)}\n")
        (labels / name).with_suffix(".txt").write_text("".join(lines))
    entries = "train: images/train\nval: images/val\nnames:\n"
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASSES))
    (root / "data.yaml").write_text(entries + names)


def _one_outline(parts: Sequence[Sequence[float]]) -> list[float]:
    """Join parts by zero-width bridges, since a line in YOLO format has a single polygon."""
    joined = list(parts[0])
    for part in parts[1:]:
        joined += [*parts[0][:2], *part, *part[:2]]
    return joined


def _write_voc(root: Path, split: str, source: Path, scenes: Scenes) -> None:
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    names = []
    for image, found in scenes:
        name = _take_image(source, image, split, root / "JPEGImages")
        annotation = ElementTree.Element("annotation")
        ElementTree.SubElement(annotation, "filename").text = name
        _add(annotation, "size", {**{side: image[side] for side in _SIDES}, "depth": 3})
        for digit in found:
            x, y, width, height = digit["bbox"]
            element = _add(annotation, "object", dict(name=digit["name"], difficult=0))
            edges = dict(xmin=x + 1, ymin=y + 1, xmax=x + width, ymax=y + height)
            _add(element, "bndbox", edges)
        names.append(Path(name).stem)
        ElementTree.ElementTree(annotation).write(root / "Annotations" / f"{names[-1]}.xml")
    sets = root / "ImageSets" / "Main"
    sets.mkdir(parents=True, exist_ok=True)
    (sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def _add(parent: ElementTree.Element, tag: str, texts: Mapping) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    for name, text in texts.items():
        ElementTree.SubElement(element, name).text = str(text)
    return element


def _write_labelme(root: Path, split: str, source: Path, scenes: Scenes) -> None:
    for image, found in scenes:
        name = _take_image(source, image, split, root / split)
        shapes = [
            dict(
                label=annotation["name"],
                points=[list(point) for point in zip(part[::2], part[1::2])],
                group_id=group if len(annotation["segmentation"]) > 1 else None,
                shape_type="polygon",
                flags={},
            )
            for group, annotation in enumerate(found, 1)
            for part in annotation["segmentation"]
        ]
        content = dict(version="5.4.1", flags={}, shapes=shapes, imagePath=name, imageData=None)
        content.update(imageHeight=image["height"], imageWidth=image["width"])
        (root / split / name).with_suffix(".json").write_text(json.dumps(content))


FORMATS: dict[str, Callable[[Path, str, Path, Scenes], None]] = {
    "coco": _write_coco,
    "yolo": _write_yolo,
    "voc": _write_voc,
    "labelme": _write_labelme,
}


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the command line; see `write_example`."""
    parser = argparse.ArgumentParser(
        prog="python -m vanillanet_det.datasets.examples",
        description="Write the embedded scenes, with classes even and odd, in a dataset format.",
    )
    parser.add_argument("folder", help="folder to create")
    parser.add_argument("--format", choices=FORMATS, required=True, help="dataset format")
    parser.add_argument("--form", action=_Renamed, help=argparse.SUPPRESS)
    parser.add_argument(
        "--scenes",
        nargs=2,
        type=int,
        default=list(NUM_SCENES.values()),
        metavar=("TRAIN", "VAL"),
        help="number of training and validation scenes (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    try:
        if min(args.scenes) < 1:
            raise UserError(f"--scenes {args.scenes}: expected at least one scene in each split")
        write_example(args.folder, args.format, dict(zip(NUM_SCENES, args.scenes)))
    except UserError as error:
        _stop(str(error))
    train, val = args.scenes
    sys.stdout.write(
        f"{args.folder}: {train:,} scenes for training and {val:,} for validation in format "
        f"{args.format}; classes {' and '.join(CLASSES)}\n"
    )


class _Renamed(argparse.Action):
    def __call__(self, *_: Any, **__: Any) -> None:
        _stop("--form has been renamed; use --format instead")


def _stop(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
