"""`vanillanet-det export`, from a checkout: `python tools/export.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
