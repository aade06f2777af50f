"""`vanillanet-det convert-checkpoint`, from a checkout: `python tools/convert_checkpoint.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
