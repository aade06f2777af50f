"""`vanillanet-det test`, from a checkout: `python tools/test.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
