"""Images with a class each, read and transformed by timm."""

import random
from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np
import torch
from mmdet.registry import DATASETS
from PIL import Image
from torch.utils.data import Dataset

from ..errors import UserError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Of the files in an image folder that are images."""


@DATASETS.register_module()
class ClassificationDataset(Dataset):
    """A dataset of one of timm's readers.

    In training, what is random in an image depends on the seed, the epoch and the image alone: not
    on the number of processes, nor on whether a run was resumed.

    Args:
        root: Folder of the dataset.
        split: Name of the split, such as `train`.
        classes: Class names, in the order of their numbers.
        transform: Arguments of timm's `create_transform`.
        reader: Name of the dataset for timm's `create_dataset`, such as `torch/cifar10`; '' for an
            image folder.
        seed: Of the random transforms.

    Attributes:
        root: The folder.
        options: Arguments of the transform.
        epoch: The current epoch, which `SeedHook` sets.
    """

    def __init__(
        self,
        root: str,
        split: str,
        classes: Sequence[str],
        transform: dict,
        reader: str = "",
        seed: int = 0,
    ) -> None:
        self.metainfo = dict(classes=tuple(classes))
        self.root, self.options = root, transform
        self.images = open_images(root, split, reader, classes)
        self.transform = build_transform(transform)
        self.seed = seed if transform.get("is_training") else None
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image `(C, H, W)` as `inputs`, and its class as `targets`.

        Raises:
            UserError: The image can't be read.
        """
        image, target = read_image(self.images, index)
        if self.seed is not None:
            seed_all(self.seed, self.epoch, index)
        return dict(inputs=self.transform(image), targets=target)


def build_transform(options: dict) -> Callable[[Image.Image], torch.Tensor]:
    """Build a transform with timm's `create_transform`.

    Raises:
        UserError: An option isn't one of timm's.
    """
    from timm.data import create_transform  # slow to import

    try:
        return create_transform(**options)
    except (AssertionError, ValueError) as error:
        raise UserError(
            f"--auto-augment {options.get('auto_augment')}: timm can't build the transform "
            f"({error or type(error).__name__}); expected a name such as rand-m7-mstd0.5-inc1"
        ) from error


def seed_all(*numbers: int) -> None:
    """Seed the random numbers of this process, on the CPU, by several numbers."""
    (seed,) = np.random.SeedSequence(numbers).generate_state(1)
    random.seed(int(seed))
    np.random.seed(seed)  # noqa: NPY002, which timm draws from
    torch.default_generator.manual_seed(int(seed))  # a tenth of the time of manual_seed


def open_images(
    root: str, split: str, reader: str = "", classes: Optional[Sequence[str]] = None
) -> Dataset:
    """Open a split of a dataset with timm.

    Args:
        root: Folder of the split, or of the dataset.
        split: Name of the split.
        reader: As for `ClassificationDataset`.
        classes: Names in the order of their numbers, for an image folder; None for timm's order
            of the folders that are there.

    Raises:
        UserError: There is no such dataset, or it has no images.
    """
    from timm.data import create_dataset

    try:
        options: dict[str, Any] = dict(search_split=True)
        if not reader:
            numbers = None if classes is None else {name: i for i, name in enumerate(classes)}
            options = dict(search_split=False, class_map=numbers, input_key=";".join(EXTENSIONS))
        images = create_dataset(reader, root=root, split=split, **options)
    except (AssertionError, FileNotFoundError, ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"dataset {root}: can't be read as {reader or 'images'} ({error})"
        ) from error
    if not hasattr(images, "__len__"):
        raise UserError(
            f"dataset {reader}: has no length; expected one of images that are numbered"
        )
    return images


def read_image(images: Dataset, index: int) -> tuple[Image.Image, int]:
    """Read an image and its class.

    timm would replace an image that it can't read by the next one.

    Raises:
        UserError: The image can't be read.
    """
    reader = getattr(images, "reader", None)
    try:
        image, target = images[index] if reader is None else reader[index][:2]
        image = image if isinstance(image, Image.Image) else Image.open(image)
        if image.mode.startswith("I"):  # 16 bits, of which OpenCV reads the upper 8, too
            image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        return image.convert("RGB"), int(target)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"image {name_of(images, index)}: can't be read ({error})") from error


def name_of(images: Dataset, index: int) -> str:
    """Return the file of an image, or its number."""
    reader: Optional[Any] = getattr(images, "reader", None)
    return str(index) if reader is None else reader.filename(index, absolute=True)
