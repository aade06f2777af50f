"""What a detector's own data preprocessor makes of an image."""

from typing import Any, Optional

import torch
from torch import Tensor, nn


def preprocess(detector: nn.Module, image: Tensor, sample: Optional[Any] = None) -> dict[str, Any]:
    """Normalise and pad an image as a detector does in evaluation.

    Args:
        detector: A detector, or any network that takes images.
        image: Pixels `(C, H, W)` from 0 to 255, as a test pipeline returns them.
        sample: The data sample of the image, which learns the padded size; None for none.

    Returns:
        `inputs`, a batch of one image `(1, C, H', W')`, and `data_samples`, a list or None.

    Raises:
        Exception: Whatever the preprocessor raises.
    """
    data = dict(inputs=[image], data_samples=None if sample is None else [sample])
    prepare = getattr(detector, "data_preprocessor", None)
    data = dict(data if prepare is None else prepare(data, False))
    if not isinstance(data["inputs"], Tensor):  # MMEngine's default preprocessor keeps the list
        data["inputs"] = torch.stack(list(data["inputs"])).float()
    return data
