"""Messages of a command that aren't part of the training log."""

from mmengine.logging import print_log

from ..runtime.console import printable


def print_message(text: str) -> None:
    """Print a message to standard output."""
    print_log(printable(text))
