"""`vanillanet-det finetune`, from a checkout: `python tools/finetune.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
