"""`vanillanet-det embed`, from a checkout: `python tools/embed.py`."""

from command_line import main

if __name__ == "__main__":
    main(__file__)
