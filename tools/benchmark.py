"""`vanillanet-det benchmark`, from a checkout: `python tools/benchmark.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
