"""Detect objects with an exported file: `python -m vanillanet_det.runtime MODEL INPUT`."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Optional

from ..errors import UserError
from .detector import Detector
from .drawing import draw_detections
from .engines import ENGINES
from .outputs import FILES, printable, write_picture, write_results
from .sources import Pictures, find_work


def main() -> None:
    """Parse the command line and detect."""
    parser = argparse.ArgumentParser(
        prog="python -m vanillanet_det.runtime",
        description="Detect objects in a picture or a folder with an exported detector.",
    )
    parser.add_argument("model", metavar="MODEL", help="a .onnx file, or a .xml file of OpenVINO")
    parser.add_argument(
        "source", metavar="INPUT", help="picture, folder, or pattern in quotes ('data/*.jpg')"
    )
    parser.add_argument(
        "--out",
        metavar="DIR_or_FILE",
        help="folder for pictures, results.json and results.csv. Or a .jpg or .png file for the "
        "drawing of one picture (default: print a line per image)",
    )
    parser.add_argument(
        "--score", type=float, default=0.3, help="least score of an object (default: 0.3)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="images of one shape at a time (default: 4)"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, help="what computes (default: as the file's name ends)"
    )
    parser.add_argument("--device", default="cpu", help="such as cuda or gpu (default: cpu)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: the engine's choice)")
    parser.add_argument(
        "--streams", type=int, default=1, help="groups computed at the same time (default: 1)"
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
    score: float = 0.3,
    batch_size: int = 4,
    engine: Optional[str] = None,
    device: str = "cpu",
    threads: Optional[int] = None,
    streams: int = 1,
) -> int:
    """Detect objects, print a line per picture, and write what is asked for.

    Args:
        model: A detector's exported file.
        source: A picture, a folder or a pattern.
        out: A JPEG or PNG file for a picture's drawing, or a folder for everything.
        score: The least score of an object.
        batch_size: Images of one shape that pass the network together.
        engine: As for `Detector`.
        device: As for `Detector`.
        threads: As for `Detector`.
        streams: As for `Detector`.

    Returns:
        Exit status: 1 if a picture can't be read.

    Raises:
        UserError: Anything the user can mend.
    """
    target = None if out is None else Path(out).expanduser()
    pictures, drawings = find_work(source, target)
    if not isinstance(pictures, Pictures):
        raise UserError(f"{source}: is a video; expected pictures. tools/infer.py takes videos")
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: expected a positive number")
    detector = Detector(model, score, engine, device, threads, streams)
    folder = None if target in drawings.values() else target
    records: list[dict] = []
    failed, whole = 0, False
    paths = ((name, pictures.root / name) for name in pictures.names)
    try:
        with closing(detector.stream(paths, batch_size)) as stream:
            for prepared, found in stream:
                name = prepared.source[0]
                if found is None:
                    failed += 1
                    print(printable(f"{prepared.error}; skipped"), file=sys.stderr)
                    continue
                print(printable(f"{name}: {found.summary()}"), flush=True)
                if folder is not None:
                    height, width = found.size
                    coco = found.to_coco(0)
                    records.append(dict(file=name, width=width, height=height, detections=coco))
                if drawings:
                    write_picture(drawings[name], draw_detections(prepared.image, found))
        whole = True
    finally:
        # What ends early has found something, too.
        if folder is not None and (whole or records):
            count = write_results(folder, records, detector.classes)
            of = "" if whole else f" of {len(pictures.names)}"
            written = f"{count} objects: {', '.join(FILES)} in {folder}"
            print(printable(f"{len(records)}{of} pictures, {written}"))
    if failed:
        print(f"{failed} picture{'s' * (failed > 1)} can't be read and left out", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    main()
