"""`vanillanet-det ablation`, from a checkout: `python tools/ablation.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
