"""`vanillanet-det gpu-check`, from a checkout: `python tools/gpu_check.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
