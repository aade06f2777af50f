"""Runs the command: `python -m vanillanet_det_tools VERB`, for launchers such as torchrun."""

from .main import run_command

if __name__ == "__main__":
    run_command()
