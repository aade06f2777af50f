"""Image loading that reports files that can't be read."""

import contextlib
from typing import Any, Optional

from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine import fileio
from mmengine.logging import print_log

from ..errors import UserError
from ..runtime.images import why_unreadable


@TRANSFORMS.register_module()
class LoadReadableImage(LoadImageFromFile):
    """Load an image, and report the file if it can't be read.

    If a file is corrupt, MMDetection's loader passes on OpenCV's result, None, and a later
    transform fails with an error that doesn't mention the file.

    Args:
        unreadable: `error` to raise an error if a file can't be read; `skip` to log a warning and
            train on another image instead. Evaluation can't replace an image, so use `skip` in
            training pipelines only.
        **kwargs: Arguments of mmcv's `LoadImageFromFile`.

    Raises:
        UserError: `unreadable` is invalid; or a file can't be read, and `unreadable` is `error`.
    """

    remedy = (
        "replace the file or remove it from the annotation file, or skip such images in training "
        "with LoadReadableImage(unreadable='skip')"
    )

    def __init__(self, unreadable: str = "error", **kwargs: Any) -> None:
        if unreadable not in ("error", "skip"):
            raise UserError(
                f"LoadReadableImage: unreadable is {unreadable!r}, expected 'error' or 'skip'"
            )
        super().__init__(**kwargs)
        self.unreadable = unreadable

    def transform(self, results: dict) -> Optional[dict]:
        """Add the image to `results`, or return None to skip it."""
        with contextlib.suppress(Exception):  # the backends raise almost any exception
            loaded = super().transform(results)
            if loaded is not None and loaded["img"] is not None:
                return loaded
        message = f"image {results['img_path']}: can't be read ({self._reason(results)})"
        if self.unreadable == "error":
            raise UserError(f"{message}; {self.remedy}")
        print_log(f"{message}; skipped", logger="current", level=30)
        return None

    def _reason(self, results: dict) -> str:
        try:
            return why_unreadable(fileio.get(results["img_path"], self.backend_args))
        except Exception as error:  # the file is missing, or in storage that can't be reached
            return " ".join(str(error).split()) or type(error).__name__
