"""Detect objects with an exported file: `python -m vanillanet_det.runtime MODEL INPUT`."""

import argparse
import sys
from pathlib import Path
from typing import Optional

from ..errors import UserError
from .console import printable
from .detector import Detector
from .engines import ENGINES
from .predict import Output, predict
from .sources import find_work
from .tiles import Tiles


def main() -> None:
    """Parse the command line and detect."""
    parser = argparse.ArgumentParser(
        prog="python -m vanillanet_det.runtime",
        description="Detect objects in images, a video or a camera with an exported detector.",
    )
    parser.add_argument("model", metavar="MODEL", help="a .onnx file, or an OpenVINO .xml file")
    parser.add_argument(
        "source",
        metavar="INPUT",
        help="image, folder, pattern in quotes ('data/*.jpg'), video file, or camera:0",
    )
    parser.add_argument(
        "--out",
        metavar="DIR_or_FILE",
        help="folder for drawings, results.json and results.csv; resumes an existing run. Or a "
        ".jpg or .png file for the drawing of a single image (default: print a line per image)",
    )
    parser.add_argument(
        "--score",
        type=float,
        help="score threshold (default: the detector's, one for each class, else 0.3)",
    )
    parser.add_argument(
        "--tiles",
        metavar="SIZE",
        help="cut larger images into tiles of this size, such as 640 or 480x640 (height x width), "
        "and merge their detections; none doesn't cut (default: as the detector was trained)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="images of the same shape per batch (default: 4)"
    )
    parser.add_argument("--engine", choices=ENGINES, help="default: chosen by the file's suffix")
    parser.add_argument("--device", default="cpu", help="such as cuda or gpu (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: the engine's choice)")
    parser.add_argument(
        "--streams", type=int, default=1, help="batches computed at the same time (default: 1)"
    )
    try:
        sys.exit(detect(**vars(parser.parse_args())))
    except UserError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def detect(
    model: str,
    source: str,
    out: Optional[str] = None,
    score: Optional[float] = None,
    tiles: Optional[str] = None,
    batch_size: int = 4,
    engine: Optional[str] = None,
    device: str = "cpu",
    threads: Optional[int] = None,
    streams: int = 1,
) -> int:
    """Detect objects, print a line per image, and write the results if `out` is given.

    Args:
        model: A detector's exported file.
        source: An image, a folder, a pattern, a video, or `camera:0`.
        out: A JPEG or PNG file for the drawing of a single image, or a folder for all results.
        score: Score threshold; None for the file's thresholds, or 0.3 if it has none.
        tiles: Tiles that large images are cut into, such as `640`; `none` for no tiles; None cuts
            them as the file says.
        batch_size: Maximum number of images of the same shape in a batch.
        engine: Same as for `Detector`.
        device: Same as for `Detector`.
        threads: Same as for `Detector`.
        streams: Same as for `Detector`.

    Returns:
        Exit status: 1 if an image can't be read.

    Raises:
        UserError: For any error that the user can correct.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: expected a positive number")
    path = None if out is None else Path(out).expanduser()
    found, drawings = find_work(source, path)
    detector = Detector(model, score, engine, device, threads, streams, Tiles.parse(tiles))
    output = Output(path, drawings, print_each=True, keep_partial=True)
    return predict(detector, model, found, output, batch_size=batch_size)


if __name__ == "__main__":
    main()
