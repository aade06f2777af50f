"""Cuts the images of a dataset into tiles, as detection does later."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
from mmengine.config import Config
from pycocotools import mask as coco_mask
from tqdm import tqdm

from ..datasets.formats import RawDataset
from ..datasets.formats.coco_outlines import encoded
from ..datasets.formats.raw_dataset import is_learned
from ..errors import UserError
from ..fileio import atomic_write
from ..runtime.images import as_bgr
from ..runtime.tiles import Tiles, Window

_LEAST_VISIBLE = 0.25  # share of an object's box
_OF_CUTTING = ("window", "source", "whole")
_JPEG = (".jpg", ".jpeg")


def cut_dataset(source: RawDataset, folder: Path, tiles: Tiles, masks: bool) -> RawDataset:
    """Cut the images of a dataset, and write the tiles.

    Args:
        source: The dataset, with validation images.
        folder: Folder for the tiles.
        tiles: How images are cut.
        masks: Whether segmentations are cut, too; else they are left out.

    Returns:
        The dataset of the tiles, with remarks about them.

    Raises:
        UserError: An image can't be read.
        OSError: A tile can't be written.
    """
    content, remarks = {}, []
    for split in ("train", "val"):
        coco, sentences = _cut_split(
            getattr(source, split), source.root, folder, split, tiles, masks
        )
        content[split] = coco
        remarks += [f"{split}: {each}" for each in sentences]
    return replace(source, **content, root=folder, remarks=tuple(remarks))


def validation_images(cfg: Config) -> tuple[Path, Path]:
    """Return the annotations of a run's validation images, uncut, and their folder."""
    uncut = cfg.finetune.get("uncut")
    if uncut is not None:
        return Path(uncut.annotations), Path(uncut.root)
    return Path(cfg.val_evaluator.ann_file), Path(cfg.val_dataloader.dataset.data_prefix.img)


@dataclass
class _Cut:
    """The tiles of some images."""

    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    empty: list[dict] = field(default_factory=list)  # tiles without objects
    slivers: int = 0  # parts of objects that are too small to learn
    too_large: int = 0  # objects that are larger than what two tiles share


def _cut_split(
    coco: dict, root: Path, folder: Path, split: str, tiles: Tiles, masks: bool
) -> tuple[dict, list[str]]:
    """Cut a split; of its tiles without objects, keep as many as there are with objects."""
    by_image: dict[Any, list[dict]] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    cut = _Cut()
    for number, image in enumerate(coco["images"]):
        _cut_image(image, f"{split}/{number:06d}", by_image[image["id"]], tiles, masks, cut)
    spare = min(len(cut.images) or len(cut.empty), len(cut.empty))
    kept = [cut.empty[i * len(cut.empty) // spare] for i in range(spare)]
    images = [*cut.images, *kept]
    (folder / split).mkdir(parents=True, exist_ok=True)
    _write(images, root, folder)
    remarks = [
        f"{len(coco['images'])} images were cut into {len(cut.images) + len(cut.empty)} tiles of "
        f"up to {tiles.size[0]} x {tiles.size[1]} pixels (height x width)"
    ]
    if len(kept) < len(cut.empty):
        remarks.append(f"tiles without objects, left out: {len(cut.empty) - len(kept)}")
    if cut.slivers:
        remarks.append(
            f"parts of objects, of which less than {100 * _LEAST_VISIBLE:.0f} % is in the tile, "
            f"neither learned nor counted: {cut.slivers}"
        )
    if cut.too_large:
        remarks.append(
            f"objects larger than what two tiles share: {cut.too_large}; they may be in no tile as "
            "a whole, and larger tiles would help"
        )
    public = [{k: v for k, v in image.items() if k not in _OF_CUTTING} for image in images]
    return dict(coco, images=public, annotations=cut.annotations), remarks


def _cut_image(
    image: dict, prefix: str, annotations: Sequence[dict], tiles: Tiles, masks: bool, cut: _Cut
) -> None:
    windows = tiles.windows(image["height"], image["width"])
    shared = [
        side * tiles.overlap if length > side else length
        for length, side in zip((image["width"], image["height"]), tiles.size[::-1])
    ]
    sizes = [each["bbox"][2:] for each in annotations if is_learned(each)]
    cut.too_large += sum(any(a > b for a, b in zip(size, shared)) for size in sizes)
    read_mask = functools.cache(lambda index: _decode(annotations[index]["segmentation"], image))
    for window in windows:
        left, top, right, bottom = window
        stem = Path(image["file_name"]).stem[:80]
        ending = ".jpg" if Path(image["file_name"]).suffix.lower() in _JPEG else ".png"
        tile = dict(
            id=len(cut.images) + len(cut.empty) + 1,
            file_name=f"{prefix}-{left}-{top}-{stem}{ending}",
            width=right - left,
            height=bottom - top,
            window=window,
            source=image["file_name"],
            whole=(image["width"], image["height"]),
        )
        is_empty = True
        for index, annotation in enumerate(annotations):
            has_mask = masks and bool(annotation.get("segmentation"))
            part = _cut_object(annotation, window, partial(read_mask, index) if has_mask else None)
            if part is not None:
                is_empty = False
                cut.slivers += part["iscrowd"] and not annotation["iscrowd"]
                part.update(id=len(cut.annotations) + 1, image_id=tile["id"])
                cut.annotations.append(part)
        (cut.empty if is_empty else cut.images).append(tile)


def _cut_object(
    annotation: dict, window: Window, read_mask: Optional[Callable[[], np.ndarray]]
) -> Optional[dict]:
    """Return an object's part in a tile, None if there is none.

    A small part of an object, which is a small part of the tile, too, becomes a crowd: it counts
    neither as an object nor as background.
    """
    left, top, right, bottom = window
    x, y, width, height = annotation["bbox"]
    begin = max(x, left), max(y, top)
    sides = min(x + width, right) - begin[0], min(y + height, bottom) - begin[1]
    if min(sides) <= 0:
        return None
    share = sides[0] * sides[1] / (width * height)
    of_tile = sides[0] * sides[1] / ((right - left) * (bottom - top))
    part = {k: v for k, v in annotation.items() if k != "segmentation"}
    part.update(bbox=[begin[0] - left, begin[1] - top, *sides], area=annotation["area"] * share)
    part["iscrowd"] = int(annotation["iscrowd"] or max(share, of_tile) < _LEAST_VISIBLE)
    if read_mask is not None:
        mask = read_mask()[top:bottom, left:right]
        if not mask.any():
            return None
        rle = coco_mask.encode(np.asfortranarray(mask))
        part.update(bbox=coco_mask.toBbox(rle).tolist(), area=float(mask.sum()))
        part["segmentation"] = dict(rle, counts=rle["counts"].decode("ascii"))
    return part


def _decode(segmentation: Any, image: dict) -> np.ndarray:
    size = image["height"], image["width"]
    if isinstance(segmentation, list):
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size)))
    else:
        mask = coco_mask.decode(encoded(segmentation))
    if mask.shape != size:
        raise UserError(
            f"image {image['file_name']}: a segmentation has {mask.shape[1]} x {mask.shape[0]} "
            f"pixels, and the image {size[1]} x {size[0]}; correct the annotations"
        )
    return mask


def _write(tiles: Sequence[dict], root: Path, folder: Path) -> None:
    by_source: dict[str, list[dict]] = {}
    for tile in tiles:
        by_source.setdefault(tile["source"], []).append(tile)

    def write(source: str) -> None:
        pixels = as_bgr(root / source)
        size, stated = pixels.shape[1::-1], by_source[source][0]["whole"]
        if size != stated:
            raise UserError(
                f"image {root / source}: has {size[0]} x {size[1]} pixels, but its annotations say "
                f"{stated[0]} x {stated[1]}; correct the annotations"
            )
        for tile in by_source[source]:
            left, top, right, bottom = tile["window"]
            path = folder / tile["file_name"]
            _write_image(path, pixels[top:bottom, left:right])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done: Iterator[None] = pool.map(write, by_source)
        for _ in tqdm(done, "Cutting", len(by_source), unit="img", leave=False, disable=None):
            pass


def _write_image(path: Path, pixels: np.ndarray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
    is_encoded, content = cv2.imencode(path.suffix, pixels, options)
    if not is_encoded:
        raise UserError(f"{path}: can't be encoded as {path.suffix}")
    with atomic_write(path) as file:
        file.write(content.tobytes())
