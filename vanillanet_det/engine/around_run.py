"""Something that lasts as long as a loop runs, and ends when it raises."""

import functools
from contextlib import AbstractContextManager
from typing import Any, Callable

from mmengine.runner import BaseLoop


def around_run(loop: BaseLoop, context: Callable[[], AbstractContextManager]) -> None:
    """Run a loop within a context; no hook is called when an epoch raises.

    Args:
        loop: The loop; its `run` is replaced.
        context: Makes the context manager, each time that the loop is run.
    """
    run = loop.run

    @functools.wraps(run)
    def run_within(*args: Any, **kwargs: Any) -> Any:
        with context():
            return run(*args, **kwargs)

    loop.run = run_within
