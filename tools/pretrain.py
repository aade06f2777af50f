"""`vanillanet-det pretrain`, from a checkout: `python tools/pretrain.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
