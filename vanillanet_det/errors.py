"""The one exception for mistakes in what a user gave."""


class UserError(ValueError):
    """A mistake in an argument, a config, a file or a data set.

    Its message names the thing, its value, what was expected and what to do. The
    command lines print it without a traceback and exit with status 2.
    """
