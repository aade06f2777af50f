"""The command `vanillanet-det`, a file per verb.

Nothing here imports the package or PyTorch before the arguments are parsed, so that `--help`
responds immediately. That is why it isn't a part of the package, whose import takes seconds.
"""
