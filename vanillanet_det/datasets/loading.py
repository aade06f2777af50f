"""Image loading that names files that can't be read."""

from typing import Any, Optional

from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine.logging import print_log

from ..errors import UserError


@TRANSFORMS.register_module()
class LoadReadableImage(LoadImageFromFile):
    """Load an image, or name the file if it can't be read.

    MMDetection's loader passes on OpenCV's result for a corrupt file, None, on which a later
    transform fails without naming the file.

    Args:
        unreadable: `error` stops; `skip` warns, and training uses another image instead. In
            evaluation an image can't be replaced, so `skip` is for training pipelines.
        **kwargs: Arguments of mmcv's `LoadImageFromFile`.

    Raises:
        UserError: `unreadable` is invalid, or it is `error` and a file can't be read.
    """

    remedy = (
        "replace the file or remove it from the annotation file, or skip such images in training "
        "with LoadReadableImage(unreadable='skip')"
    )

    def __init__(self, unreadable: str = "error", **kwargs: Any) -> None:
        if unreadable not in ("error", "skip"):
            raise UserError(
                f"LoadReadableImage: unreadable {unreadable!r}; expected 'error' or 'skip'"
            )
        super().__init__(**kwargs)
        self.unreadable = unreadable

    def transform(self, results: dict) -> Optional[dict]:
        """Add the image to `results`; None to skip it."""
        try:
            loaded = super().transform(results)
            reason = "not an image format that OpenCV supports"
        except Exception as error:  # the backends raise nearly anything
            loaded, reason = None, " ".join(str(error).split()) or type(error).__name__
        if loaded is not None and loaded.get("img") is not None:
            return loaded
        message = f"image {results['img_path']}: can't be read ({reason})"
        if self.unreadable == "error":
            raise UserError(f"{message}; {self.remedy}")
        print_log(f"{message}; skipped", logger="current", level=30)
        return None
