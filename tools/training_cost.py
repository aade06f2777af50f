"""`vanillanet-det training-cost`, from a checkout: `python tools/training_cost.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
