"""Errors about the sizes of images and batches, which a config determines."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config

from ..errors import UserError

_ONE_VALUE = "Expected more than 1 value per channel when training"
_SIZES = re.compile(
    # Dimensions 2 and 3 are height and width; other numbers of channels are a bug.
    r"Sizes of tensors must match except in dimension 1\b|"
    r"must match the size of tensor .* at non-singleton dimension [23]\b|"
    r"Kernel size can't be greater than actual input size|[Oo]utput size is too small"
)


@contextmanager
def size_errors(cfg: Config) -> Iterator[None]:
    """Convert errors about images or batches that a network can't process into a `UserError`.

    Args:
        cfg: The config of the run.

    Raises:
        UserError: A batch is too small for BatchNorm, or the features of images can't be computed.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith(_ONE_VALUE):
            raise UserError(
                f"config {cfg.filename}: a BatchNorm got a single value per channel, which it "
                f"can't be trained on ({message}); set train_dataloader.batch_size to 2 or more "
                "and drop_last=True, or use another norm_cfg, such as dict(type='GN', "
                "num_groups=32)"
            ) from error
        # The same message from a loss is a bug, which needs its traceback.
        frames = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if "extract_feat" in frames and _SIZES.search(message):
            raise UserError(
                f"config {cfg.filename}: the features of a batch can't be computed ({message}); "
                "the images are too small, or their sides aren't multiples of the largest stride: "
                "set model.data_preprocessor.pad_size_divisor=32, or Resize or Pad to such sizes"
            ) from error
        raise
