"""Detection in uncut validation images, after training with tiles."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from ..errors import UserError
from ..inference import load_detector
from .tiles import validation_images


def detect_uncut(cfg: Config, checkpoint: str) -> list[dict]:
    """Detect objects in the validation images as they are, by tiles.

    Args:
        cfg: Config of a run with tiles.
        checkpoint: The detector.

    Returns:
        COCO results.

    Raises:
        UserError: An image can't be read.
    """
    path, root = validation_images(cfg)
    coco = json.loads(path.read_bytes())
    images, ids = coco["images"], [category["id"] for category in coco["categories"]]
    detector = load_detector(checkpoint, cfg, score=0.0)

    def sources() -> Iterator[tuple[int, Path]]:
        for image in images:
            yield image["id"], root / image["file_name"]

    results = []
    bar = tqdm(total=len(images), desc="Evaluating", unit="img", leave=False, disable=None)
    with bar, closing(detector.stream(sources())) as stream:
        for prepared, found in stream:
            if found is None:
                raise UserError(prepared.error)
            rows = found.to_coco(prepared.source[0])
            results += [dict(row, category_id=ids[row["category_id"] - 1]) for row in rows]
            bar.update()
    return results
