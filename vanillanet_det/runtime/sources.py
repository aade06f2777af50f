"""What INPUT of a command line that detects may be."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from ..errors import UserError

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


@dataclass(frozen=True)
class Pictures:
    """Files of pictures.

    Attributes:
        root: The folder that all of them are in or below.
        names: Relative to it, with `/`, sorted.
    """

    root: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class Video:
    """A video, or a camera.

    Attributes:
        name: What it is called in results.
        address: The file, or the camera's number.
    """

    name: str
    address: Union[str, int]

    @property
    def is_camera(self) -> bool:
        """Whether it ends only when somebody ends it."""
        return isinstance(self.address, int)


def find_source(given: str, out: Optional[Path] = None) -> Union[Pictures, Video]:
    """Find out what was given.

    Args:
        given: A picture, a folder, a pattern such as `data/**/*.jpg`, a video file, or `camera:0`.
        out: Folder of the results; drawings in it are no pictures to look at.

    Returns:
        The pictures or the video.

    Raises:
        UserError: There is no such thing, or no picture.
    """
    if camera := re.fullmatch(r"camera:(\d+)", given):
        return Video(given.replace(":", ""), int(camera.group(1)))
    path = Path(given).expanduser()
    if path.is_dir():
        found = _below(path, path.rglob("*"), out)
        return found or _nothing(f"{given}: no picture in this folder or below")
    if path.is_file():
        if path.suffix.lower() in VIDEOS:
            return Video(path.name, str(path))
        return Pictures(path.parent, (path.name,))
    if glob.has_magic(given):
        root = path
        while glob.has_magic(str(root)):
            root = root.parent
        paths = map(Path, glob.iglob(str(path), recursive=True))
        return _below(root, paths, out) or _nothing(f"{given}: no picture has such a name")
    raise UserError(
        f"{given}: there is no such file or folder; expected a picture, a folder, a pattern in "
        "quotes such as 'data/*.jpg', a video, or camera:0"
    )


def _below(root: Path, paths: Iterable[Path], out: Optional[Path]) -> Optional[Pictures]:
    drawn = None if out is None else (out / "pictures").resolve()
    names = sorted(
        path.relative_to(root).as_posix()
        for path in paths
        if path.suffix.lower() in PICTURES
        and path.is_file()
        and drawn not in path.resolve().parents
    )
    return Pictures(root, tuple(names)) if names else None


def _nothing(message: str) -> Pictures:
    raise UserError(f"{message}; expected one that ends in {', '.join(PICTURES)}")


def name_drawings(names: Iterable[str]) -> dict[str, str]:
    """Give each picture's drawing a name of its own.

    Args:
        names: Of pictures, relative to their folder.

    Returns:
        By picture: its own name where it is a JPEG or PNG file, and one that ends in `.png` beside
        it otherwise.
    """
    names = list(names)
    drawn = {name: name for name in names if name.lower().endswith((".jpg", ".jpeg", ".png"))}
    taken = set(drawn)
    for name in names:
        if name not in drawn:
            target = f"{name}.png"
            while target in taken:
                target = target[: -len(".png")] + "_.png"
            drawn[name] = target
            taken.add(target)
    return drawn
