"""`vanillanet-det infer`, from a checkout: `python tools/infer.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
