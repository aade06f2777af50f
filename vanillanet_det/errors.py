"""The one exception for mistakes in what a user provides."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake in an argument, a config, a file or a dataset.

    Its message names the thing, its value, what was expected and what to do. The
    command lines print it without a traceback and exit with status 2.
    """


@contextmanager
def prefix_errors(name: object) -> Iterator[None]:
    """Put a name, such as a file's, in front of the messages of a block's `UserError`s."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
