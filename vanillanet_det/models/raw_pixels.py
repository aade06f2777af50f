"""Folding of the image normalisation into the first convolution."""

from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import nn

from .protocols import FoldsNormalization


class RawPixelPreprocessor(DetDataPreprocessor):
    """A preprocessor for networks with the normalisation folded into the first convolution.

    Pixels and their channel order are not changed. Images are padded with the values that the
    normalisation would map to the padding value of the normalised image.

    Args:
        like: The preprocessor to replace.
    """

    def __init__(self, like: DetDataPreprocessor) -> None:
        super().__init__(
            pad_size_divisor=like.pad_size_divisor,
            pad_mask=like.pad_mask,
            mask_pad_value=like.mask_pad_value,
            pad_seg=like.pad_seg,
            seg_pad_value=like.seg_pad_value,
            boxtype2tensor=like.boxtype2tensor,
            non_blocking=like._non_blocking,
        )
        padding = like.pad_value * like.std + like.mean
        padding = padding.flip(0) if like._channel_conversion else padding
        self.register_buffer("padding", padding.clone(), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack and pad the images of a batch, as float32."""
        sizes = [image.shape[-2:] for image in data["inputs"]]
        data = super().forward(data, training)
        for image, (height, width) in zip(data["inputs"], sizes):
            image[:, height:] = self.padding
            image[:, :, width:] = self.padding
        return data


def fold_normalization(detector: nn.Module) -> bool:
    """Fold the image normalisation into the backbone's first convolution, in place.

    This is for inference only: afterwards, the weights expect pixels from 0 to 255 and can't be
    loaded into a network for normalised images. The channel order is folded as well.

    Args:
        detector: A detector in its deployed form, or a test-time-augmentation wrapper of one.

    Returns:
        Whether the normalisation was folded. This requires MMDetection's preprocessor with
        normalisation, and a backbone that implements `FoldsNormalization` and can fold it, such
        as a deployed VanillaNet without padding in its stem.
    """
    detector = getattr(detector, "module", detector)
    before = getattr(detector, "data_preprocessor", None)
    backbone = getattr(detector, "backbone", None)
    if type(before) is not DetDataPreprocessor or not before._enable_normalize:
        return False
    if not isinstance(backbone, FoldsNormalization):
        return False
    mean, std = (value.flatten().double() for value in (before.mean, before.std))
    if not backbone.fold_normalization(mean, std, before._channel_conversion):
        return False
    detector.data_preprocessor = RawPixelPreprocessor(before).to(before.device)
    detector.data_preprocessor.train(before.training)
    return True
