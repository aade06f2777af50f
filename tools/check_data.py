"""Check data, weights and parts of a config: `python tools/check_data.py CONFIG`."""

import argparse
import contextlib
import sys

from command_line import add_cfg_options, run


def main() -> None:
    """Parse the command line, check and print; the status is 1 where there are errors."""
    parser = argparse.ArgumentParser(
        description="Find mistakes in a config, its data sets and its weights before a training "
        "does. Status 0: none, or warnings alone; 1: errors; 2: it could not be checked."
    )
    parser.add_argument("config", help="config file of any detector")
    parser.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="don't decode the images, only look whether they are there",
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print one JSON object instead"
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    # What libraries log meanwhile doesn't belong to the findings.
    with contextlib.redirect_stdout(sys.stderr):
        text, is_clean = run("check_data", args)
    print(text)
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
