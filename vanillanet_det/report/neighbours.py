"""Draws nearest neighbours by several networks side by side, as an HTML page or a PNG file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Optional

from PIL import Image, ImageDraw, ImageFont

from ..datasets.loading import LoadReadableImage
from ..errors import UserError
from ..fileio import atomic_write, utf8_name
from .encoding import jpeg_url
from .html import template

_SIDE = 112  # longest side in CSS pixels
_DENSITY = 2  # pixels per CSS pixel
_LONGEST = 30  # characters of a name below an image
_MAX_HEIGHT = 60_000  # pixels of a PNG file
ENDINGS = (".html", ".png")


@dataclass(frozen=True)
class Found:
    """An image that is shown.

    Attributes:
        path: The file.
        name: What is written below it.
        distance: From the query; None for the query itself.
    """

    path: Path
    name: str
    distance: Optional[float] = None


@dataclass(frozen=True)
class Query:
    """An image and its neighbours.

    Attributes:
        image: The image.
        rows: Neighbours by the name of the network, nearest first.
    """

    image: Found
    rows: dict[str, Sequence[Found]]


def write_neighbours(
    path: Path, queries: Sequence[Query], facts: Sequence[tuple[str, str]]
) -> None:
    """Write an HTML page or a PNG file.

    Args:
        path: The file, which is replaced atomically.
        queries: What to show.
        facts: Names and values to show in the header.

    Raises:
        UserError: The file can't be written, or an image can't be read.
    """
    draw = _png if path.suffix.lower() == ".png" else _html
    try:
        with atomic_write(path) as file:
            draw(file, queries, facts)
    except OSError as error:
        raise UserError(f"--page {path}: can't be written ({error.strerror or error})") from error


@cache
def _thumbnail(path: Path) -> Image.Image:
    pixels = LoadReadableImage().transform(dict(img_path=str(path)))["img"]
    image = Image.fromarray(pixels[:, :, ::-1])
    image.thumbnail((_SIDE * _DENSITY, _SIDE * _DENSITY))
    return image


def _html(file: Any, queries: Sequence[Query], facts: Sequence[tuple[str, str]]) -> None:
    def show(found: Found) -> dict[str, Any]:
        image = _thumbnail(found.path)
        size = [max(1, round(side / _DENSITY)) for side in image.size]
        return dict(
            url=jpeg_url(image), size=size, name=found.name.split("/")[-1], distance=found.distance
        )

    shown = [
        dict(
            name=query.image.name,
            rows=[
                (name, [show(each) for each in (query.image, *row)])
                for name, row in query.rows.items()
            ],
        )
        for query in queries
    ]
    text = template("neighbours.html.jinja").render(
        title="Nearest neighbours", facts=facts, queries=shown
    )
    file.write(text.encode("utf-8", "backslashreplace"))


def _png(file: Any, queries: Sequence[Query], _: Sequence[tuple[str, str]]) -> None:
    rows = [(name, (query.image, *row)) for query in queries for name, row in query.rows.items()]
    side, line = _SIDE * _DENSITY, 9 * _DENSITY
    width, height = max(len(row) for _, row in rows) * (side + line), side + 4 * line
    if height * len(rows) > _MAX_HEIGHT:
        raise UserError(
            f"--page: {len(rows)} rows are too many for a PNG file, which has at most "
            f"{_MAX_HEIGHT // height}; write .html"
        )
    page = Image.new("RGB", (width, height * len(rows)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(6 * _DENSITY)
    for index, (name, row) in enumerate(rows):
        top = index * height
        draw.text((0, top), utf8_name(name), "black", font)
        for column, each in enumerate(row):
            left = column * (side + line)
            page.paste(_thumbnail(each.path), (left, top + line))
            below = "query" if each.distance is None else f"{each.distance:.3f}"
            draw.text((left, top + line + side), _short(each.name), "black", font)
            draw.text((left, top + 2 * line + side), below, "black", font)
    page.save(file, "PNG")


def _short(name: str) -> str:
    """Return the end of a name, which tells images apart."""
    name = utf8_name(name.split("/")[-1])
    return name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"
