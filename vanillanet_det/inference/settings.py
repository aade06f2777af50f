"""What a config says about detection: score thresholds of the classes, and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import UserError
from ..runtime.metadata import is_fraction, is_tiles
from ..runtime.tiles import LEAST_SIDE, OVERLAP, Tiles

_KEY = "detection"


@dataclass(frozen=True)
class DetectionSettings:
    """How a detector is used; fine-tuning writes them into the config as `detection`.

    Attributes:
        class_scores: Score threshold of each class; () if there are none.
        tiles: How large images are cut; None if they aren't.
    """

    class_scores: tuple[float, ...] = ()
    tiles: Optional[Tiles] = None


def find_settings(cfg: Any, classes: Sequence[str]) -> DetectionSettings:
    """Read the settings of a config.

    Args:
        cfg: The config.
        classes: Class names.

    Raises:
        UserError: A setting is invalid.
    """
    found = cfg.get(_KEY) or {}
    if not isinstance(found, dict):
        raise UserError(f"config: {_KEY} is {found!r}; expected a dict of class_scores and tiles")
    scores, tiles = found.get("class_scores"), found.get("tiles")
    is_list = isinstance(scores, (list, tuple)) and all(map(is_fraction, scores))
    if scores is not None and not (is_list and len(scores) in (0, len(classes))):
        raise UserError(
            f"config: {_KEY}.class_scores is {scores!r}; expected a number from 0 to 1 for each of "
            f"the {len(classes)} classes"
        )
    if isinstance(tiles, dict):
        size = tiles.get("size")
        size = list(size) if isinstance(size, tuple) else size
        tiles = {"overlap": OVERLAP, **tiles, "size": size}
    if tiles is not None and not (is_tiles(tiles) and min(tiles["size"]) >= LEAST_SIDE):
        raise UserError(
            f"config: {_KEY}.tiles is {found['tiles']!r}; expected size, height and width of at "
            f"least {LEAST_SIDE} pixels, and overlap, such as dict(size=(640, 640), overlap=0.2)"
        )
    return DetectionSettings(
        tuple(map(float, scores or ())),
        None if tiles is None else Tiles(tuple(tiles["size"]), tiles["overlap"]),
    )


def set_settings(cfg: Any, settings: DetectionSettings) -> None:
    """Write settings into a config, in place."""
    tiles = settings.tiles
    cfg[_KEY] = dict(
        class_scores=list(settings.class_scores),
        tiles=None if tiles is None else dict(size=list(tiles.size), overlap=tiles.overlap),
    )
