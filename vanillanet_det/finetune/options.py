"""The options of a fine-tuning run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..engine.options import backbone_arguments
from ..errors import UserError
from ..runtime.tiles import Tiles
from .config import AUGMENTATIONS


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of a fine-tuning run; options that are None are inferred.

    Attributes:
        model: Name of a detector, or path of its config file.
        weights: Checkpoint of a detector, or published ImageNet weights; None for random weights.
        backbone: Name of the backbone, such as `vanillanet11` or `gresnet50`.
        epochs: Number of epochs.
        minutes: Time for the whole command, from which the number of epochs follows.
        batch_size: Number of images in a batch.
        lr: Learning rate.
        input_size: Longer and shorter side that images are resized to, in any order, keeping the
            aspect ratio.
        augment: Names from `AUGMENTATIONS`.
        freeze: Last backbone stage to freeze: 0 for the stem, -1 to freeze nothing.
        merged: Whether to train VanillaNet's merged form.
        seed: Seed of random weights, augmentations and the order of images.
        tiles: How large images are cut; None doesn't cut them.
        skip_missing: Whether to train without images that are missing or unreadable.

    Raises:
        UserError: A value is out of range.
    """

    model: Optional[str] = None
    weights: Optional[str] = None
    backbone: Optional[str] = None
    epochs: Optional[int] = None
    minutes: Optional[float] = None
    batch_size: int = 8
    lr: Optional[float] = None
    input_size: Optional[tuple[int, int]] = None
    augment: Sequence[str] = ("flip", "scale")
    freeze: int = -1
    merged: bool = False
    seed: int = 0
    tiles: Optional[Tiles] = None
    skip_missing: bool = False

    def __post_init__(self) -> None:
        """Raise an error if a value is out of range."""
        for flag, value in (("epochs", self.epochs), ("batch-size", self.batch_size)):
            if value is not None and value < 1:
                raise UserError(f"--{flag} {value}: expected a positive integer")
        if self.freeze < -1:
            raise UserError(
                f"--freeze {self.freeze}: expected the last stage to freeze, from 0 "
                "for the stem, or -1 to freeze nothing"
            )
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: expected an integer from 0 to {2**32 - 1}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UserError(f"--lr {self.lr:g}: expected a number above 0, such as 0.0005")
        if self.minutes is not None and not 1 <= self.minutes < math.inf:
            raise UserError(f"--minutes {self.minutes:g}: expected a number of at least 1")
        if self.minutes is not None and self.epochs is not None:
            raise UserError("--minutes, --epochs: each sets the length of training; omit one")
        if "none" in self.augment and len(self.augment) > 1:
            names = ", ".join(AUGMENTATIONS[1:])
            raise UserError(f"--augment none: can't be combined; pass none alone, or {names}")

    @property
    def network(self) -> Optional[dict[str, Any]]:
        """Type and arguments of the backbone; None if no backbone is selected.

        Raises:
            UserError: The backbone is unknown.
        """
        return None if self.backbone is None else backbone_arguments(self.backbone)
