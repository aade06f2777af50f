"""The embedded dataset: handwritten digits on photographs, in COCO format."""

import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from PIL import Image
from tqdm import tqdm

from ..errors import UserError
from .embedded import ensure_folder

CLASSES = tuple(str(digit) for digit in range(10))
NUM_SCENES = {"train": 2000, "val": 200}
_NAME = "the digits dataset"
_MEGABYTES = 120
_MAX_PENDING = 64  # images that wait to be saved


@DATASETS.register_module()
class DigitsDataset(CocoDataset):
    """The embedded dataset; its files are created on first use.

    Args:
        *args: Arguments of MMDetection's `CocoDataset`.
        data_root: Folder of the dataset.
        **kwargs: Arguments of MMDetection's `CocoDataset`.
    """

    DATA_ROOT = "data/digits"
    METAINFO = dict(  # noqa: RUF012, MMDetection defines this attribute
        classes=CLASSES,
        palette=[
            (220, 20, 60),
            (0, 110, 230),
            (0, 150, 70),
            (255, 130, 0),
            (140, 0, 200),
            (0, 180, 190),
            (230, 0, 160),
            (120, 90, 20),
            (90, 90, 255),
            (60, 60, 60),
        ],
    )

    def __init__(self, *args: Any, data_root: str = DATA_ROOT, **kwargs: Any) -> None:
        if not kwargs.get("lazy_init"):  # MMDetection's inferencer only needs the class names
            self.prepare(data_root)
        super().__init__(*args, data_root=data_root, **kwargs)

    @staticmethod
    def prepare(data_root: str) -> None:
        """Create the files if they don't exist; see `ensure_digits`."""
        ensure_digits(data_root)


def ensure_digits(
    root: Union[str, Path], seed: int = 0, num_scenes: Any = None, side: int = 160
) -> Path:
    """Create the dataset in a folder unless it exists.

    The files are byte-for-byte reproducible. They are written to a temporary folder, which is
    renamed once it is complete, so a killed run doesn't leave an incomplete dataset. If several
    processes need the dataset, one of them creates it while the others wait.

    Args:
        root: Folder to create, with `train/`, `val/` and `annotations/instances_*.json`.
        seed: Random seed.
        num_scenes: Number of scenes in `train` and `val`; if None, 2,000 and 200.
        side: Height and width of a scene in pixels.

    Returns:
        The path of the folder.

    Raises:
        UserError: The folder contains other files, is incomplete, or can't be written.
    """
    num_scenes = dict(num_scenes or NUM_SCENES)
    made_with = {"seed": seed, "num_scenes": num_scenes, "side": side}
    return ensure_folder(
        Path(root),
        lambda folder: _write(folder, made_with),
        lambda folder: _check_whole(folder, made_with),
        _MEGABYTES,
        "choose another folder with --cfg-options data_root=FOLDER",
    )


def _check_whole(root: Path, made_with: dict[str, Any]) -> None:
    remedy = "remove the folder so that it is created again, or choose another one"
    for split, count in made_with["num_scenes"].items():
        ann_file = root / "annotations" / f"instances_{split}.json"
        try:
            content = json.loads(ann_file.read_text())
            found_with, images = content["info"]["made_with"], content["images"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"dataset {root}: isn't the embedded dataset ({ann_file}: {error}); {remedy}"
            ) from error
        if found_with != made_with:
            raise UserError(
                f"dataset {root}: was created with {found_with}, expected {made_with}; {remedy}"
            )
        folder = root / split
        there = set(os.listdir(folder)) if folder.is_dir() else set()
        missing = [image["file_name"] for image in images if image["file_name"] not in there]
        if missing or len(images) != count:
            raise UserError(
                f"dataset {root}: {len(missing)} of {count} images in {split}/ are missing "
                f"({', '.join(missing[:3])}); {remedy}"
            )


def _write(root: Path, made_with: dict[str, Any]) -> None:
    from .scenes import load_assets  # scikit-learn is slow to import and only needed here

    # NumPy guarantees that RandomState's numbers never change, unlike Generator's.
    random = np.random.RandomState(made_with["seed"])
    assets = load_assets(random)
    num_scenes, side = made_with["num_scenes"], made_with["side"]
    (root / "annotations").mkdir()
    total = sum(num_scenes.values())
    # disable=None hides the bar if standard error isn't a terminal.
    bar = tqdm(total=total, desc=f"Making {_NAME}", unit="img", disable=None)
    # PNG compression releases the GIL and takes about as long as drawing.
    with bar, ThreadPoolExecutor(max_workers=2) as pool:
        for split, count in num_scenes.items():
            content = _write_split(root / split, assets[split], count, side, random, bar, pool)
            content["info"] = {
                "description": f"Digits of scikit-learn on its photographs: {split}",
                "made_with": made_with,
            }
            (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def _write_split(
    folder: Path,
    assets: Any,
    count: int,
    side: int,
    random: np.random.RandomState,
    bar: tqdm,
    pool: ThreadPoolExecutor,
) -> dict[str, Any]:
    from .scenes import draw_scene, to_polygons

    folder.mkdir()
    images, annotations = [], []
    saving: deque[Future] = deque()
    for image_id in range(1, count + 1):
        pixels, instances = draw_scene(assets, side, random)
        name = f"{image_id:06d}.png"
        image = Image.fromarray(pixels)
        saving.append(pool.submit(image.save, folder / name, compress_level=1))
        if len(saving) > _MAX_PENDING:
            saving.popleft().result()  # raises an error if saving failed
        images.append({"id": image_id, "file_name": name, "height": side, "width": side})
        for instance in instances:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": instance.label + 1,
                    "bbox": list(instance.box),
                    "area": int(instance.mask.sum()),
                    "segmentation": to_polygons(instance),
                    "iscrowd": 0,
                }
            )
        bar.update()
    for saved in saving:
        saved.result()
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}
