"""Runs the verb that a script here is named after."""

import sys


def main(script: str) -> None:
    """Run a verb of the command with this process's arguments."""
    try:
        from vanillanet_det_tools.main import run_script
    except ModuleNotFoundError as error:
        print(f"error: {error}; run pip install -e '.[lite]' in the checkout", file=sys.stderr)
        sys.exit(2)
    run_script(script)
