"""Options of a pretraining run; the defaults are what the published recipes have in common."""

import math
from dataclasses import dataclass, fields
from typing import Optional

from ..errors import UserError
from .image_classifier import LOSSES
from .recipes import GRESNETS

SCHEDULES = ("linear", "cosine", "none")
_POSITIVE = ("epochs", "batch_size", "accumulate", "width")
_SHARES = (
    "drop_rate",
    "drop_path",
    "erasing",
    "label_smoothing",
    "distillation",
    "crop_pct",
    "crop_scale",
    "ema",
)


@dataclass(frozen=True)
class PretrainOptions:
    """Options of a pretraining run; options that are None depend on the network.

    Attributes:
        model: `vanillanet5` and the like; a detector such as `small`, whose backbone it is;
            `timm:NAME`; or `torchvision:NAME`.
        width: Channels of VanillaNet's stem, or of GResNet's first 3x3 convolution in a block, to
            which all others are in proportion.
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
        deep_epochs: Epochs in which lambda rises, after which it is 1; a third of the training.
        act_num: `n` of the series activation; that of a detector, else 3.
        act_base: Activation in it: `relu`, `tanh`, `silu` or `gelu`; of a detector, else ReLU.
        act_neighbours: Whether it sums over neighbours, or over shifts of each pixel alone.
        input_size: Height and width of the images in pixels.
        crop_scale: Smallest share of a training image that a random crop keeps.
        crop_pct: Share of a validation image's shorter side that is seen.
        loss: `bce` or `ce`.
        label_smoothing: Share of the target that is spread over all classes.
        mixup: Alpha of mixup; 0 for none.
        cutmix: Alpha of cutmix; 0 for none.
        auto_augment: timm's name of an augmentation; `none` for none.
        colour_jitter: Strength of colour jitter; 0.4, which timm leaves out beside `auto_augment`.
        erasing: Probability of random erasing.
        flip: Whether to flip images.
        drop_path: Probability to skip the last block of a GResNet or timm network in training.
        drop_rate: Dropout before the head; 0.05, or 0 for a GResNet, and with `vanilla`, which
            can't trace timm's.
        ema: Share of the new weights in the average, for each batch; 0 for no average.
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
    act_base: Optional[str] = None
    act_neighbours: Optional[bool] = None
    input_size: tuple[int, int] = (224, 224)
    crop_scale: float = 0.08
    crop_pct: float = 0.875
    loss: str = "bce"
    label_smoothing: float = 0.1
    mixup: Optional[float] = None
    cutmix: float = 1.0
    auto_augment: str = "rand-m7-mstd0.5-inc1"
    colour_jitter: Optional[float] = None
    erasing: float = 0.25
    flip: bool = True
    drop_rate: Optional[float] = None
    drop_path: float = 0.0
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
        if self.batch_size < 2:
            raise UserError(f"--batch-size {self.batch_size}: BatchNorm and mixup need at least 2")
        if self.label_smoothing == 1:
            raise UserError("--label-smoothing 1: all classes would be the same; expected less")
        if self.warm_up is not None and self.warm_up < 0:
            raise UserError(f"--warm-up {self.warm_up}: expected a number of epochs")
        if self.teacher is not None and "=" not in self.teacher:
            raise UserError(f"--teacher {self.teacher}: expected timm:NAME=FILE")
        if self.deep not in SCHEDULES:
            raise UserError(f"--deep {self.deep}: expected {', '.join(SCHEDULES)}")
        if self.loss not in LOSSES:
            raise UserError(f"--loss {self.loss}: expected {' or '.join(LOSSES)}")
        if self.colour_jitter and self.auto_augment != "none":
            raise UserError(
                f"--colour-jitter {self.colour_jitter:g}: timm leaves it out beside "
                f"--auto-augment {self.auto_augment}; add --auto-augment none"
            )
        if self.lr == 0:
            raise UserError("--lr 0: expected a number above 0, such as 0.0035")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: expected an integer from 0 to {2**32 - 1}")
        if self.deep == "cosine" and not self.is_deep:
            hint = "omit it" if self.model in GRESNETS else "add --vanilla"
            raise UserError(f"--deep cosine: {self.model} has no lambda; {hint}")
        if self.drop_path == 1:
            raise UserError("--drop-path 1: the last block would never be trained; expected less")
        if self.is_deep and self.epochs < 2:
            raise UserError(f"--epochs {self.epochs}: deep training needs two; or use --deep none")
        if self.is_deep and not 0 < self.rising_epochs < self.epochs:
            raise UserError(
                f"--deep-epochs {self.deep_epochs}: lambda has to reach 1 before training ends, or "
                f"the network could never be fused; expected 1 to {self.epochs - 1}, or --deep none"
            )
        if not self.is_deep and self.deep_epochs is not None:
            raise UserError(f"--deep-epochs {self.deep_epochs}: the network isn't trained deep")

    @property
    def is_deep(self) -> bool:
        """Whether the network is trained deep."""
        own = ":" not in self.model and self.model not in GRESNETS
        return self.deep != "none" and (self.vanilla or own)

    @property
    def rising_epochs(self) -> int:
        """Epochs in which lambda rises."""
        return max(1, self.epochs // 3) if self.deep_epochs is None else self.deep_epochs
