"""`vanillanet-det train`, from a checkout: `python tools/train.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
