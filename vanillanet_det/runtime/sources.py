"""The images or video given as INPUT, and the paths of their drawings."""

import glob
import itertools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from ..errors import UserError, some
from ..media import CONVERT, IMAGES, UNSUPPORTED_IMAGES, VIDEOS, has_ending
from .outputs import FILES

_DRAWABLE = (".jpeg", ".jpg", ".png")
_MAX_NAME = 255  # bytes in a file's name


@dataclass(frozen=True)
class ImageFiles:
    """Image files.

    Attributes:
        root: Folder that contains them, directly or in subfolders.
        names: Sorted paths relative to the root, with `/`.
        unsupported: Images in formats that OpenCV can't read, relative to the root.
        videos: Videos among the files, relative to the root.
    """

    root: Path
    names: tuple[str, ...]
    unsupported: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Video:
    """A video file or a camera.

    Attributes:
        name: Its name in the results.
        address: The file, or the number of the camera.
    """

    name: str
    address: Union[str, int]

    @property
    def is_camera(self) -> bool:
        """Whether it runs until it is interrupted."""
        return isinstance(self.address, int)


def find_work(
    source: str, out: Optional[Path] = None, draw: bool = True
) -> tuple[Union[ImageFiles, Video], dict[str, Path]]:
    """Find the images or the video, and choose the files for the drawings.

    Drawings from earlier runs are not used as input and may be replaced; other files are never
    replaced.

    Args:
        source: Same as for `find_source`.
        out: A JPEG or PNG file for the drawing of a single image, or a folder for all results; if
            None, nothing is written.
        draw: Whether to draw.

    Returns:
        The images or the video, and the file of each drawing by the name of the image or video.

    Raises:
        UserError: There is no such input, `out` doesn't match it, or a drawing would replace
            a file that isn't a drawing.
    """
    is_folder = out is None or os.path.isdir(out) or out.suffix.lower() not in _DRAWABLE
    if out is not None and is_folder and os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"--out {out}: is an existing file; pass a folder, or a .jpg or .png path")
    found = find_source(source, out if draw and is_folder else None)
    drawings = {}
    if out is not None and not is_folder:
        if not (isinstance(found, ImageFiles) and len(found.names) == 1 and draw):
            raise UserError(f"--out {out}: is a single image, but {source} isn't; pass a folder")
        drawings = {found.names[0]: out}
    elif out is not None and draw and isinstance(found, Video):
        drawings = {found.name: out / f"{Path(found.name).stem}.mp4"}
    elif out is not None and draw:
        names = name_drawings(found.names)
        drawings = {name: out / "pictures" / drawing for name, drawing in names.items()}
    _check_drawings(found, drawings, out)
    return found, drawings


def _check_drawings(
    source: Union[ImageFiles, Video], drawings: dict[str, Path], out: Optional[Path]
) -> None:
    """Raise an error if a drawing would replace an input, or a video that isn't a drawing."""
    existing = [path for path in drawings.values() if os.path.exists(path)]
    if not existing:
        return
    if isinstance(source, Video):
        inputs = [] if source.is_camera else [source.address]
    else:
        inputs = [source.root / name for name in source.names]
    identities = {_identify(path) for path in inputs}
    for path in existing:
        if _identify(path) in identities:
            raise UserError(
                f"--out {out}: the drawing would replace {path}, which is part of INPUT; choose "
                "another path"
            )
        if isinstance(source, Video) and not _drew_video(out, source.name):
            raise UserError(
                f"--out {out}: the drawing would replace {path}, which no earlier run drew from "
                f"{source.name}; choose another folder, or move that file"
            )


def _identify(path: Union[str, Path]) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def find_source(source: str, out: Optional[Path] = None) -> Union[ImageFiles, Video]:
    """Find the images or the video.

    Args:
        source: An image, a folder, a pattern such as `data/**/*.jpg`, a video file, or `camera:0`.
        out: Folder for the results; drawings in it are ignored.

    Returns:
        The images or the video.

    Raises:
        UserError: There is no such file or no image, or the folder for the drawings contains other
            images.
    """
    if camera := re.fullmatch(r"camera:(\d+)", source):
        return Video(source.replace(":", ""), int(camera.group(1)))
    path = Path(source).expanduser()
    if path.is_file() and has_ending(path.name, VIDEOS):
        return Video(path.name, str(path))
    if out is not None:
        _check_folder(out)
    if path.is_dir():
        nothing = f"{source}: no image in this folder or its subfolders"
        return _find_images(path, path.rglob("*"), out, nothing)
    if path.is_file():
        return ImageFiles(path.parent, (path.name,))
    if glob.has_magic(source):
        root = path
        while glob.has_magic(str(root)):
            root = root.parent
        paths = map(Path, glob.iglob(str(path), recursive=True))
        return _find_images(root, paths, out, f"{source}: no image matches this pattern")
    raise UserError(
        f"{source}: there is no such file or folder; expected an image, a folder, a pattern in "
        "quotes such as 'data/*.jpg', a video, or camera:0"
    )


def _find_images(
    root: Path, paths: Iterable[Path], out: Optional[Path], nothing: str
) -> ImageFiles:
    drawn = None if out is None else (out / "pictures").resolve()
    found: dict[tuple[str, ...], list[str]] = {IMAGES: [], UNSUPPORTED_IMAGES: [], VIDEOS: []}
    has_drawings = False
    for path in paths:
        for endings, names in found.items():
            if has_ending(path.name, endings) and path.is_file():
                if drawn in path.resolve().parents:
                    has_drawings = True
                else:
                    names.append(path.relative_to(root).as_posix())
    images, unsupported, videos = (tuple(sorted(names)) for names in found.values())
    if images:
        return ImageFiles(root, images, unsupported, videos)
    if unsupported:
        raise UserError(
            f"{nothing} that OpenCV can read, only {some(unsupported, 3)}; {CONVERT} first"
        )
    if has_drawings:
        raise UserError(
            f"{root}: has only drawings from an earlier run with --out {out}; pass the original "
            "images, or another --out"
        )
    hint = f"; to detect in {some(videos, 3)}, pass each video by itself" if videos else ""
    raise UserError(f"{nothing}; expected a file that ends in {', '.join(IMAGES)}{hint}")


def _check_folder(out: Path) -> None:
    """Raise an error if the folder for the drawings contains other images."""
    folder = out / "pictures"
    inside = (path for path in folder.rglob("*") if has_ending(path.name, IMAGES))
    first = next(inside, None)
    if first is not None and not _drew_images(out):
        raise UserError(
            f"--out {out}: drawings go into {folder}, which has images that no earlier run drew, "
            f"such as {first.name}; choose another folder"
        )


def _drew_images(out: Path) -> bool:
    settings = _read(out / "parts" / "settings.json")  # of a run that may have no results yet
    if isinstance(settings, dict):
        return settings.get("draw") is True
    images = _earlier_images(out)
    return images is not None and not any("frame" in image for image in images)


def _drew_video(out: Path, name: str) -> bool:
    images = _earlier_images(out) or [{}]
    return "frame" in images[0] and images[0].get("file_name") == name


def _earlier_images(out: Path) -> Optional[list[dict]]:
    """Return the images of an earlier run; None unless all of its results exist."""
    content = _read(out / "images.json")
    images = content.get("images") if isinstance(content, dict) else None
    complete = all((out / name).is_file() for name in FILES) and isinstance(images, list)
    return images if complete and all(isinstance(image, dict) for image in images) else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def name_drawings(names: Iterable[str]) -> dict[str, str]:
    """Choose a unique name for the drawing of each image.

    Args:
        names: Paths of the images relative to their folder.

    Returns:
        Image -> name of its drawing: the image's own name for JPEG and PNG files, otherwise that
        name with `.png` appended.
    """
    names = list(names)
    drawn = {name: name for name in names if name.lower().endswith(_DRAWABLE)}
    taken = set(drawn)
    for name in names:
        if name not in drawn:
            candidates = (_append_png(name, "_" * count) for count in itertools.count())
            target = next(candidate for candidate in candidates if candidate not in taken)
            drawn[name] = target
            taken.add(target)
    return drawn


def _append_png(name: str, mark: str) -> str:
    ending = f"{mark}.png"
    while len(os.fsencode(name.rpartition("/")[2])) + len(ending) > _MAX_NAME:
        name = name[:-1]
    return name + ending
