"""Options of a pretraining run; the defaults are what the published recipes have in common."""

import math
from dataclasses import dataclass, fields
from typing import Optional

from ..errors import UserError
from .image_classifier import LOSSES

SCHEDULES = ("linear", "cosine", "none")
_POSITIVE = ("epochs", "batch_size", "accumulate", "width")
_SHARES = ("drop_rate", "erasing", "label_smoothing", "distillation", "crop_pct", "crop_scale")


@dataclass(frozen=True)
class PretrainOptions:
    """Options of a pretraining run; options that are None depend on the network.

    Attributes:
        model: `vanillanet5` and the like; a detector such as `small`, whose backbone it is;
            `timm:NAME`; or `torchvision:NAME`.
        width: Channels of VanillaNet's stem, to which all others are in proportion.
        vanilla: Add deep training and series activation to another network.
        shortcuts: Add an identity around each stage of VanillaNet.
        epochs: Number of epochs.
        batch_size: Images of a batch, in each process.
        accumulate: Batches of an iteration.
        lr: Learning rate; the recipe's, in proportion to the images of an iteration.
        min_lr: Learning rate at the end.
        warm_up: Epochs in which the learning rate rises.
        weight_decay: Weight decay, of parameters with several dimensions.
        layer_decay: Factor of the learning rate from layer to layer; 1 for none.
        optimizer: Name of an optimizer of timm.
        deep: How lambda rises: `linear`, `cosine`, or `none` for lambda 1 throughout.
        deep_epochs: Epoch from which on lambda is 1; a third of the training.
        act_num: `n` of the series activation; that of a detector, else 3.
        input_size: Height and width of the images in pixels.
        crop_scale: Smallest share of a training image that a random crop keeps.
        crop_pct: Share of a validation image's shorter side that is seen.
        loss: `bce` or `ce`.
        label_smoothing: Share of the target that is spread over all classes.
        mixup: Alpha of mixup; 0 for none.
        cutmix: Alpha of cutmix; 0 for none.
        auto_augment: timm's name of an augmentation; `none` for none.
        colour_jitter: Strength of colour jitter.
        erasing: Probability of random erasing.
        flip: Whether to flip images.
        drop_rate: Dropout before the head; 0.05, or 0 with `vanilla`, which can't trace timm's.
        ema: Weight of the averaged weights in each iteration's average; 0 for no average.
        teacher: Network to learn from: `timm:NAME`, with its file.
        distillation: Share of the teacher in the loss.
        sync_bn: Whether BatchNorm sees the images of all processes.
        seed: Seed of weights, augmentations and the order of images.

    Raises:
        UserError: A value is out of range.
    """

    model: str = "vanillanet6"
    width: Optional[int] = None
    vanilla: bool = False
    shortcuts: bool = False
    epochs: int = 300
    batch_size: int = 128
    accumulate: int = 1
    lr: Optional[float] = None
    min_lr: float = 1e-6
    warm_up: Optional[int] = None
    weight_decay: Optional[float] = None
    layer_decay: Optional[float] = None
    optimizer: str = "lamb"
    deep: str = "linear"
    deep_epochs: Optional[int] = None
    act_num: Optional[int] = None
    input_size: tuple[int, int] = (224, 224)
    crop_scale: float = 0.08
    crop_pct: float = 0.875
    loss: str = "bce"
    label_smoothing: float = 0.1
    mixup: Optional[float] = None
    cutmix: float = 1.0
    auto_augment: str = "rand-m7-mstd0.5-inc1"
    colour_jitter: float = 0.4
    erasing: float = 0.25
    flip: bool = True
    drop_rate: Optional[float] = None
    ema: Optional[float] = None
    teacher: Optional[str] = None
    distillation: float = 0.5
    sync_bn: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise an error if a value is out of range."""
        for field in fields(self):
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if field.name in _POSITIVE and value is not None and value < 1:
                raise UserError(f"{flag} {value}: expected a positive integer")
            if field.name in _SHARES and value is not None and not 0 <= value <= 1:
                raise UserError(f"{flag} {value:g}: expected a number from 0 to 1")
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise UserError(f"{flag} {value:g}: expected a number of at least 0")
        if self.deep not in SCHEDULES:
            raise UserError(f"--deep {self.deep}: expected {', '.join(SCHEDULES)}")
        if self.loss not in LOSSES:
            raise UserError(f"--loss {self.loss}: expected {' or '.join(LOSSES)}")
        if self.lr == 0:
            raise UserError("--lr 0: expected a number above 0, such as 0.0035")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: expected an integer from 0 to {2**32 - 1}")
        if self.is_deep and not 0 < self.last_deep_epoch < self.epochs:
            raise UserError(
                f"--deep-epochs {self.last_deep_epoch}: lambda has to reach 1 before training "
                f"ends, or the network could never be fused; expected 1 to {self.epochs - 1}, or "
                "--deep none"
            )

    @property
    def is_deep(self) -> bool:
        """Whether the network is trained deep."""
        return self.deep != "none" and (self.vanilla or ":" not in self.model)

    @property
    def last_deep_epoch(self) -> int:
        """Epoch from which on lambda is 1."""
        return max(1, self.epochs // 3) if self.deep_epochs is None else self.deep_epochs
