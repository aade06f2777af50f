"""Terminal output, and a progress bar if tqdm is installed."""

import sys
from typing import Any, Optional, TextIO


def printable(text: str) -> str:
    """Escape characters the terminal can't show, such as bytes that aren't valid UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class Progress:
    """A progress bar that allows printing lines above it.

    There is no bar if tqdm isn't installed or standard error isn't a terminal.

    Args:
        unit: Unit of the count, such as `img`.
        total: Total count; None if unknown.
        done: Initial count.
        has_bar: Whether to show a bar at all.
    """

    def __init__(
        self, unit: str, total: Optional[int] = None, done: int = 0, has_bar: bool = True
    ) -> None:
        self._bar = _make_bar(unit, total, done) if has_bar else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self) -> None:
        """Increase the count by one."""
        if self._bar is not None:
            self._bar.update()

    def report(self, text: str) -> None:
        """Print a line on standard output."""
        self._write(text, sys.stdout)

    def warn(self, text: str) -> None:
        """Print a line on standard error."""
        self._write(text, sys.stderr)

    def _write(self, text: str, file: TextIO) -> None:
        if self._bar is not None:
            self._bar.write(printable(text), file)
        else:
            file.write(f"{printable(text)}\n")
        file.flush()


def _make_bar(unit: str, total: Optional[int], done: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=done, unit=unit, disable=None)
