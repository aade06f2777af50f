"""`vanillanet-det get-flops`, from a checkout: `python tools/get_flops.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
