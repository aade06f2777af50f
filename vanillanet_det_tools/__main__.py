"""Runs the command: `python -m vanillanet_det_tools VERB`, for launchers such as torchrun."""

from .main import main

if __name__ == "__main__":
    main()
