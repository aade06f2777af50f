"""Reading and writing videos."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np

from ..errors import UserError
from ..installation import command
from .packages import load
from .sources import Video

if TYPE_CHECKING:
    import cv2

_DEFAULT_FPS = 25.0
# Frames are read in a thread, and OpenCV crashes if the video is closed in the meantime.
_READING = threading.Lock()


@contextmanager
def open_video(video: Video) -> Iterator["cv2.VideoCapture"]:
    """Open a video or a camera.

    Raises:
        UserError: The video or camera can't be opened.
    """
    cv2 = load("cv2")
    address = video.address if video.is_camera else _for_opencv(Path(video.address))
    # The messages of FFmpeg and OpenCV don't mention the file.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(address)
    try:
        if not capture.isOpened():
            raise UserError(
                f"camera:{video.address}: there is no such camera; connect it or try another number"
                if video.is_camera
                else f"{video.address}: can't be read as a video; it may be truncated, or in a "
                "format that OpenCV doesn't support"
            )
        yield capture
    finally:
        with _READING:
            capture.release()
        cv2.utils.logging.setLogLevel(level)


def _for_opencv(path: Path) -> str:
    """Return the path as text; raise an error unless it is UTF-8, since OpenCV would crash."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}: OpenCV can't open a video whose name isn't valid UTF-8; rename it"
        ) from error


def read_frames(capture: "cv2.VideoCapture") -> Iterator[tuple[int, np.ndarray]]:
    """Read frames, uint8 `(height, width, 3)` in BGR, numbered from 1, until the end."""
    number = 0
    while True:
        with _READING:
            found, frame = capture.read()
        if not found:
            return
        number += 1
        yield number, frame


class VideoWriter:
    """Writer of an MP4 file, which is renamed to its final name once it is complete.

    Args:
        path: The file.
        fps: Frames per second; implausible values are replaced by 25.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.name[:40]}.partial.mp4")
        self._fps = fps if 0 < fps < 1000 else _DEFAULT_FPS
        self._writer: Optional[cv2.VideoWriter] = None

    def add(self, frame: np.ndarray) -> None:
        """Write a frame; all frames must have the same size.

        Raises:
            UserError: The file can't be written.
        """
        if self._writer is None:
            cv2 = load("cv2")
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(
                _for_opencv(self._partial), code, self._fps, (frame.shape[1], frame.shape[0])
            )
            if not self._writer.isOpened():
                raise UserError(
                    f"--out {self.path}: can't be written; OpenCV may lack an MP4 encoder. Choose "
                    f"another folder, or run {command('infer')} with --no-draw"
                )
        self._writer.write(np.ascontiguousarray(frame))

    def close(self, keep: bool) -> Optional[Path]:
        """Finish the file, and keep or delete it.

        Returns:
            The file; None if it was deleted or never created.
        """
        if self._writer is None:
            return None
        self._writer.release()
        if not keep:
            self._partial.unlink(missing_ok=True)
            return None
        os.replace(self._partial, self.path)
        return self.path
