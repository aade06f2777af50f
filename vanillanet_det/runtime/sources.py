"""What INPUT of a command line that detects may be, and where its drawings go."""

import glob
import itertools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from ..errors import UserError
from .outputs import FILES

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
_DRAWABLE = (".jpeg", ".jpg", ".png")
_LONGEST = 255  # bytes of a file's name


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


def find_work(
    given: str, out: Optional[Path] = None, draw: bool = True
) -> tuple[Union[Pictures, Video], dict[str, Path]]:
    """Find out what was given, and where its drawings go.

    What no earlier run has drawn is neither passed over nor written over.

    Args:
        given: As for `find_source`.
        out: A JPEG or PNG file for the drawing of one picture, or a folder for all results; None
            to write nothing.
        draw: Whether there are drawings.

    Returns:
        The pictures or the video, and the file of each drawing by the name of what is drawn.

    Raises:
        UserError: There is no such thing, `out` doesn't fit it, or a drawing would replace a file
            that isn't one.
    """
    is_folder = out is None or os.path.isdir(out) or out.suffix.lower() not in _DRAWABLE
    if out is not None and is_folder and os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"--out {out}: is a file; name a folder, or a .jpg or .png file")
    source = find_source(given, out if draw and is_folder else None)
    drawings = {}
    if out is not None and not is_folder:
        if not (isinstance(source, Pictures) and len(source.names) == 1 and draw):
            raise UserError(f"--out {out}: is one picture, which {given} is not; name a folder")
        drawings = {source.names[0]: out}
    elif out is not None and draw and isinstance(source, Video):
        drawings = {source.name: out / f"{Path(source.name).stem}.mp4"}
    elif out is not None and draw:
        names = name_drawings(source.names)
        drawings = {name: out / "pictures" / drawing for name, drawing in names.items()}
    _keep_files(source, drawings, out)
    return source, drawings


def _keep_files(
    source: Union[Pictures, Video], drawings: dict[str, Path], out: Optional[Path]
) -> None:
    """Refuse drawings that would replace what they are drawn of, or a stranger's video."""
    there = [path for path in drawings.values() if os.path.exists(path)]
    if not there:
        return
    if isinstance(source, Video):
        given = [] if source.is_camera else [source.address]
    else:
        given = [source.root / name for name in source.names]
    own = {_identify(path) for path in given}
    for path in there:
        if _identify(path) in own:
            raise UserError(
                f"--out {out}: the drawing would replace {path}, which is INPUT's own; choose "
                "another place"
            )
        if isinstance(source, Video) and not _drew_video(out, source.name):
            raise UserError(
                f"--out {out}: the drawing would replace {path}, which no earlier run made of "
                f"{source.name}; choose another folder, or move that file"
            )


def _identify(path: Union[str, Path]) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def find_source(given: str, out: Optional[Path] = None) -> Union[Pictures, Video]:
    """Find out what was given.

    Args:
        given: A picture, a folder, a pattern such as `data/**/*.jpg`, a video file, or `camera:0`.
        out: Folder of the results; drawings in it are no pictures to look at.

    Returns:
        The pictures or the video.

    Raises:
        UserError: There is no such thing, or no picture; or there are pictures where drawings go.
    """
    if camera := re.fullmatch(r"camera:(\d+)", given):
        return Video(given.replace(":", ""), int(camera.group(1)))
    path = Path(given).expanduser()
    if path.is_file() and path.suffix.lower() in VIDEOS:
        return Video(path.name, str(path))
    if out is not None:
        _check_drawn(out)
    if path.is_dir():
        nothing = f"{given}: no picture in this folder or below"
        return _below(path, path.rglob("*"), out, nothing)
    if path.is_file():
        return Pictures(path.parent, (path.name,))
    if glob.has_magic(given):
        root = path
        while glob.has_magic(str(root)):
            root = root.parent
        paths = map(Path, glob.iglob(str(path), recursive=True))
        return _below(root, paths, out, f"{given}: no picture has such a name")
    raise UserError(
        f"{given}: there is no such file or folder; expected a picture, a folder, a pattern in "
        "quotes such as 'data/*.jpg', a video, or camera:0"
    )


def _below(root: Path, paths: Iterable[Path], out: Optional[Path], nothing: str) -> Pictures:
    drawn = None if out is None else (out / "pictures").resolve()
    found = [path for path in paths if path.suffix.lower() in PICTURES and path.is_file()]
    names = [
        path.relative_to(root).as_posix() for path in found if drawn not in path.resolve().parents
    ]
    if names:
        return Pictures(root, tuple(sorted(names)))
    if found:
        raise UserError(
            f"{root}: has only drawings of an earlier run with --out {out}; give the pictures "
            "that they were made of, or another --out"
        )
    raise UserError(f"{nothing}; expected one that ends in {', '.join(PICTURES)}")


def _check_drawn(out: Path) -> None:
    """Refuse a folder with pictures, where drawings go, that no earlier run has drawn."""
    folder = out / "pictures"
    inside = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    first = next(inside, None)
    if first is not None and not _drew_pictures(out):
        raise UserError(
            f"--out {out}: drawings go into {folder}, which has pictures that no earlier run has "
            f"drawn, such as {first.name}; choose another folder"
        )


def _drew_pictures(out: Path) -> bool:
    begun = _read(out / "parts" / "settings.json")  # what may go on, and has no results yet
    if isinstance(begun, dict):
        return begun.get("draw") is True
    images = _earlier_images(out)
    return images is not None and not any("frame" in image for image in images)


def _drew_video(out: Path, name: str) -> bool:
    images = _earlier_images(out) or [{}]
    return "frame" in images[0] and images[0].get("file_name") == name


def _earlier_images(out: Path) -> Optional[list[dict]]:
    """Read what an earlier run has looked at; None without its results."""
    content = _read(out / "images.json")
    images = content.get("images") if isinstance(content, dict) else None
    whole = all((out / name).is_file() for name in FILES) and isinstance(images, list)
    return images if whole and all(isinstance(image, dict) for image in images) else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


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
            candidates = (_png(name, "_" * count) for count in itertools.count())
            target = next(candidate for candidate in candidates if candidate not in taken)
            drawn[name] = target
            taken.add(target)
    return drawn


def _png(name: str, mark: str) -> str:
    ending = f"{mark}.png"
    while len(os.fsencode(name.rpartition("/")[2])) + len(ending) > _LONGEST:
        name = name[:-1]
    return name + ending
