"""Random scales up to the size of images, so that a batch needs less padding."""

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import RandomCrop, Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type


@TRANSFORMS.register_module()
class RandomZoom(RandomCrop):
    """Resize an image to a random size; crop what is larger than the size without zoom.

    With random sizes alone, all images of a batch are padded to the largest, and a third of the
    computation is for padding.

    Args:
        scale: Longer and shorter side in pixels without zoom, keeping the aspect ratio.
        zoom: Smallest and largest factor; their logarithms are equally likely.

    Example:
        >>> train_pipeline = [..., dict(type='RandomZoom', scale=(640, 480), zoom=(0.8, 1.25))]
    """

    def __init__(self, scale: tuple[int, int], zoom: tuple[float, float]) -> None:
        super().__init__(scale, allow_negative_crop=True)
        self.scale, self.zoom = tuple(scale), tuple(zoom)

    @cache_randomness
    def _factor(self) -> float:
        return float(np.exp(np.random.uniform(*np.log(self.zoom))))  # noqa: NPY002, seeded by MMEngine

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Resize and crop the image, boxes and masks of `results`."""
        height, width = results["img"].shape[:2]
        longer, shorter = max(self.scale), min(self.scale)
        fit = min(longer / max(height, width), shorter / min(height, width))
        size = [max(1, int(side * fit + 0.5)) for side in (width, height)]
        factor = self._factor()
        zoomed = tuple(max(1, round(side * factor)) for side in size)
        results = Resize(zoomed, keep_ratio=False).transform(results)
        crop_width, crop_height = map(min, size, zoomed)
        return self._crop_data(results, (crop_height, crop_width), self.allow_negative_crop)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale}, zoom={self.zoom})"
