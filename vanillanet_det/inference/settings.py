"""What a config says about detection: score thresholds of the classes, and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import UserError
from ..runtime.tiles import Tiles

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
    scores = found.get("class_scores") or ()
    is_valid = all(isinstance(score, (int, float)) and 0 <= score <= 1 for score in scores)
    if scores and not (is_valid and len(scores) == len(classes)):
        raise UserError(
            f"config: {_KEY}.class_scores is {list(scores)}; expected a number from 0 to 1 for "
            f"each of the {len(classes)} classes"
        )
    tiles = found.get("tiles")
    return DetectionSettings(
        tuple(map(float, scores)), None if tiles is None else _read_tiles(dict(tiles))
    )


def _read_tiles(values: dict) -> Tiles:
    try:
        return Tiles(**{**values, "size": tuple(values["size"])})
    except (KeyError, TypeError, UserError) as error:
        raise UserError(
            f"config: {_KEY}.tiles is {values}; expected size, height and width in pixels, and "
            f"overlap, such as dict(size=(640, 640), overlap=0.2)"
        ) from error


def set_settings(cfg: Any, settings: DetectionSettings) -> None:
    """Write settings into a config, in place."""
    tiles = settings.tiles
    cfg[_KEY] = dict(
        class_scores=list(settings.class_scores),
        tiles=None if tiles is None else dict(size=list(tiles.size), overlap=tiles.overlap),
    )
