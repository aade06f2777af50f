"""The exception that reports user mistakes, and the wording of its messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake in an argument, a config, a file or a dataset.

    Its message states the thing, its value, what was expected and what to do. The
    command-line tools print the message without a traceback and exit with status 2.
    """


@contextmanager
def prefix_errors(name: object) -> Iterator[None]:
    """Prefix the message of any `UserError` raised in the block, for example with a file name."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def some(names: Sequence[str], most: int = 8) -> str:
    """Format the first few names for a message, followed by the number of the others."""
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more} more" if more > 0 else "")
