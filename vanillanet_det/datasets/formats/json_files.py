"""Reads JSON files of annotations."""

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from .files import read_text

_START = 1024  # bytes; files start with few spaces


def is_json_list(path: Path) -> bool:
    """Return whether a JSON file contains a list instead of an object."""
    try:
        with open(path, "rb") as file:
            return bool(re.match(rb"(\xef\xbb\xbf)?\s*\[", file.read(_START)))
    except OSError:
        return False


def read_json(path: Path, kind: type = dict) -> Any:
    """Read a JSON file that contains an object, or a list if `kind` is `list`.

    Raises:
        UserError: The file can't be read, isn't valid JSON or contains something else.
    """
    content = parse_json(read_text(path), path)
    if not isinstance(content, kind):
        expected = "a list [...]" if kind is list else "an object {...}"
        raise UserError(f"{path}: contains a {type(content).__name__}, expected {expected}")
    return content


def parse_json(text: str, path: Path, line: int = 1) -> Any:
    """Parse the JSON text that starts at a line of a file.

    Raises:
        UserError: The text isn't valid JSON.
    """
    try:
        with without_collecting():
            return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{line + error.lineno - 1}: is not valid JSON ({error.msg}, column "
            f"{error.colno}); export the file again"
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected finite numbers") from error
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply; export the file again") from error


@contextmanager
def without_collecting() -> Iterator[None]:
    """Create many objects at once without searching them for cycles, which takes longer."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _no_number(name: str) -> None:
    raise ValueError(f"contains the number {name}")
