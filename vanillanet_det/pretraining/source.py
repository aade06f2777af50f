"""The dataset of a pretraining run, and the options that suit it."""

import os
import shlex
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ..datasets.digit_images import DATA_ROOT, ensure_digit_images
from ..errors import some
from ..installation import command
from .data import ClassificationData, read_data
from .options import PretrainOptions
from .recipes import recipe_of

_NARROW = 24  # channels of the stem
SMALL = dict(
    optimizer="lamb",
    epochs=20,
    batch_size=64,
    input_size=(64, 64),
    crop_scale=0.7,
    crop_pct=1.0,
    lr=0.02,
    loss="ce",
    weight_decay=0.05,
    layer_decay=1.0,
    mixup=0.0,
    cutmix=0.0,
    auto_augment="none",
    erasing=0.0,
    flip=False,
    ema=0.01,
)
"""Options for the embedded digits, which a narrow network learns in minutes."""


class Source(NamedTuple):
    """Where the images of a run are, and which processes take part.

    Attributes:
        data: Folder of the dataset; None for the embedded digits.
        reader: Name of the dataset for timm's `create_dataset`; '' for an image folder.
        splits: Names of the training and the validation split; None for the usual ones.
        launcher: Job launcher, whose `rendezvous` is in the environment.
    """

    data: Optional[str]
    reader: str
    splits: Optional[tuple[str, str]]
    launcher: str

    @property
    def is_first(self) -> bool:
        """Whether this is the first process of the run."""
        return self.launcher == "none" or os.environ["RANK"] == "0"

    @property
    def ranks(self) -> int:
        """Number of processes of the run."""
        return 1 if self.launcher == "none" else int(os.environ["WORLD_SIZE"])

    def resume_command(self, where: Path) -> str:
        """Return the command that resumes a run in a work dir."""
        words = [*([self.data] if self.data else []), "--work-dir", str(where), "--resume"]
        words += ["--reader", self.reader] if self.reader else []
        words += ["--splits", *self.splits] if self.splits else []
        start = command("pretrain")
        if self.launcher != "none":
            words += ["--launcher", self.launcher]
            start = f"the same launcher command, with {start.removeprefix('python ')}"
        return f"{start} {shlex.join(words)}"

    def read(
        self, given: dict[str, Any], evaluating: bool = False
    ) -> tuple[ClassificationData, PretrainOptions, str]:
        """Read which images and classes there are, and complete the options for them.

        Args:
            given: Options that were given.
            evaluating: As for `read_data`.

        Returns:
            The dataset, all options, and lines about the dataset.

        Raises:
            UserError: As for `read_data` and `PretrainOptions`.
        """
        data = self.data or ""
        if not data and not self.reader:
            data = str(ensure_digit_images(DATA_ROOT))
            narrow = {} if "model" in given else dict(width=_NARROW)
            given = {**SMALL, **narrow, **given}
        recipe = recipe_of(given.get("model", PretrainOptions.model))
        settings = PretrainOptions(**{"epochs": recipe.epochs, **recipe.options, **given})
        found, remarks = read_data(data, self.reader, self.splits, evaluating)
        training = "" if evaluating else f"{found.train.total:,} training images, "
        text = (
            f"{data or self.reader}: {len(found.classes)} classes ({some(found.classes, 5)}), "
            f"{training}{found.val.total:,} validation images"
        )
        return found, settings, "\n".join([text, *remarks])
