"""`vanillanet-det check-data`, from a checkout: `python tools/check_data.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
