"""MMDetection's data preprocessor as part of an exported graph."""

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..models.raw_pixels import RawPixelPreprocessor


class ExportedPreprocessor(nn.Module):
    """Module that normalises and pads images as a detector's preprocessor does.

    Args:
        preprocessor: The detector's preprocessor. A `RawPixelPreprocessor`, whose normalisation is
            folded into the stem, leaves pixels unchanged.

    Raises:
        UserError: The preprocessor isn't one of MMDetection's plain preprocessors.
    """

    def __init__(self, preprocessor: DetDataPreprocessor) -> None:
        super().__init__()
        if type(preprocessor) not in (DetDataPreprocessor, RawPixelPreprocessor):
            raise UserError(
                f"data_preprocessor {type(preprocessor).__name__}: can't be exported; expected "
                "DetDataPreprocessor"
            )
        self.divisor = preprocessor.pad_size_divisor
        self.flip = bool(preprocessor._channel_conversion)
        mean, std, padding = torch.zeros(3), torch.ones(3), torch.zeros(3)
        if isinstance(preprocessor, RawPixelPreprocessor):
            padding = preprocessor.padding.flatten()
        else:
            padding += preprocessor.pad_value
            if preprocessor._enable_normalize:
                mean, std = (v.flatten().expand(3) for v in (preprocessor.mean, preprocessor.std))
        for name, value in (("mean", mean), ("std", std), ("padding", padding)):
            self.register_buffer(name, value.float().clone().view(3, 1, 1))
        self.normalizes = bool((mean != 0).any() or (std != 1).any())

    @property
    def padding_pixel(self) -> list[float]:
        """The pixel, in the images' channel order, that becomes the network's padding."""
        pixel = (self.padding * self.std + self.mean).flatten()
        return (pixel.flip(0) if self.flip else pixel).tolist()

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 `(N, H, W, 3)` to float32 `(N, 3, H', W')`, padded to the divisor."""
        x = images.permute(0, 3, 1, 2).float()
        if self.flip:
            x = x.flip(1)
        if self.normalizes:
            x = (x - self.mean) / self.std
        # Written so that torch.export can prove that a padded side is a multiple of the divisor,
        # which halves the time of an export.
        below, right = (
            (side + self.divisor - 1) // self.divisor * self.divisor - side for side in x.shape[2:]
        )
        # The padding of normalised images is 0.
        return F.pad(x - self.padding, (0, right, 0, below)) + self.padding
