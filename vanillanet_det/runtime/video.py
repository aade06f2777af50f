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
from .containers import Structure, read_structure
from .packages import load
from .sources import Video

if TYPE_CHECKING:
    import cv2

_DEFAULT_FPS = 25.0
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
_NEAR_END = 0.9  # of the duration, which includes the sound
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
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has its functions at the top
    level = logging.getLogLevel()
    logging.setLogLevel(_SILENT)
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
        logging.setLogLevel(level)


def _for_opencv(path: Path) -> str:
    """Return the path as text; raise an error unless it is UTF-8, since OpenCV would crash."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}: OpenCV can't open a video whose name isn't valid UTF-8; rename it"
        ) from error


class Frames:
    """The frames of an open video, and whether all of them could be read.

    Iterating yields frames, uint8 `(height, width, 3)` in BGR, numbered from 1, until the end.

    Args:
        video: The video.
        capture: The same video, opened.

    Attributes:
        stated: Number of frames in the file according to OpenCV, an estimate for some formats;
            None if it is unknown.
        rate: Frames per second.
    """

    def __init__(self, video: Video, capture: "cv2.VideoCapture") -> None:
        self.video, self._capture = video, capture
        stated = 0 if video.is_camera else int(capture.get(7))  # cv2.CAP_PROP_FRAME_COUNT
        self.stated = stated if stated > 0 else None
        self.rate = capture.get(5)  # cv2.CAP_PROP_FPS
        self._count, self._latest = 0, 0.0

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            with _READING:
                found, frame = self._capture.read()
                self._latest = max(self._latest, self._capture.get(0))  # cv2.CAP_PROP_POS_MSEC
            if not found:
                return
            self._count += 1
            yield self._count, frame

    def shortfall(self) -> str:
        """Explain, after the last frame, why the video isn't complete; empty if it is.

        Raises:
            UserError: No frame could be read.
        """
        if self.video.is_camera:
            return f"the camera stopped after {self._count} frames"
        if not self._count:
            raise UserError(
                f"{self.video.address}: none of its frames can be read; copy or export the video "
                "again"
            )
        stated = self.stated or 0
        if 0 < stated <= self._count:
            return ""
        structure = read_structure(Path(self.video.address), stated)
        if structure is None:
            # Without gaps in the file, the last frame is shown just before the end.
            is_early = self.rate > 0 and self._latest / 1000 < _NEAR_END * stated / self.rate
            structure = Structure(stated if is_early else 0, True)
        if not structure.is_whole and not stated:
            return f"{self._count} frames could be read, but the file is damaged or cut short"
        if self._count + structure.tolerance >= structure.num_frames:
            return ""
        return f"{self._count} of {structure.num_frames} frames could be read"


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
