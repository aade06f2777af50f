"""`vanillanet-det configs`, from a checkout: `python tools/configs.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
