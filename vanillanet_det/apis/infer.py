"""Detection in pictures, videos and cameras, as `tools/infer.py` runs it."""

import os
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Optional

import torch
from tqdm import tqdm

from ..errors import UserError
from ..inference import load_detector
from ..inference.parts import Parts, fingerprint
from ..inference.video import VideoWriter, open_video, read_frames
from ..runtime import Detector as Exported
from ..runtime.drawing import draw_detections
from ..runtime.engines import ENDINGS
from ..runtime.flow import BaseDetector
from ..runtime.outputs import FILES, printable, write_picture, write_results
from ..runtime.sources import Pictures, Video, find_work


def infer(
    model: str,
    source: str,
    config: Optional[str] = None,
    out: Optional[str] = None,
    score: float = 0.3,
    batch_size: int = 4,
    device: Optional[str] = None,
    draw: bool = True,
    threads: Optional[int] = None,
) -> int:
    """Detect objects with a fused network.

    Processes that torchrun has started share the pictures of a folder; the last one to finish
    writes the results.

    Args:
        model: A detector's checkpoint, in any form, or an exported `.onnx` or `.xml` file.
        source: A picture, a folder, a pattern, a video, or `camera:0`.
        config: Its config file; None for the config that it brings along.
        out: A JPEG or PNG file for a picture's drawing, or a folder for everything; None to print a
            line per image.
        score: The least score of an object.
        batch_size: Images of one shape that pass the network together.
        device: Where to compute; None for a GPU if there is one, or the CPU for exported files.
        draw: Draw the objects.
        threads: Of the CPU; None for PyTorch's choice.

    Returns:
        Exit status: 1 if a picture can't be read.

    Raises:
        UserError: Anything the user can mend.
    """
    for name, value in (("--batch-size", batch_size), ("--threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: expected a positive number")
    target = None if out is None else Path(out).expanduser()
    found, drawings = find_work(source, target, draw)
    one_file = target in drawings.values()
    rank, size = (int(os.environ.get(name, value)) for name, value in _ALONE.items())
    if isinstance(found, Video) and size > 1:
        raise UserError(f"{source}: can't be split over {size} processes; start one")
    if threads is not None:
        torch.set_num_threads(threads)
    if Path(model).suffix in ENDINGS:
        if config is not None:
            raise UserError(f"--config {config}: {model} is exported and needs none; leave it out")
        detector = Exported(model, score, device=device or "cpu", threads=threads)
    else:
        if device is None and torch.cuda.is_available() and size > 1:
            device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
        detector = load_detector(model, config, device, score)
    if isinstance(found, Video):
        return _infer_video(detector, found, target, batch_size, drawings.get(found.name))
    if target is None or one_file:
        return _infer_and_print(detector, found, found.names[rank::size], target, batch_size)
    settings = dict(
        model=_fingerprint(Path(model).expanduser()) if Path(model).is_file() else model,
        config=None if config is None else fingerprint(Path(config)),
        input=str(found.root.resolve()),
        score=score,
        draw=draw,
    )
    parts = Parts(target, found.names, settings, rank, size)
    return _infer_folder(detector, found, parts, batch_size, drawings)


def _fingerprint(model: Path) -> str:
    # OpenVINO's weights are in a file of their own.
    files = [model, *([model.with_suffix(".bin")] if model.suffix == ".xml" else [])]
    return " ".join(map(fingerprint, files))


_ALONE = {"RANK": "0", "WORLD_SIZE": "1"}


def _infer_and_print(
    detector: BaseDetector,
    pictures: Pictures,
    names: Iterable[str],
    target: Optional[Path],
    batch_size: int,
) -> int:
    """Print a line per picture, and draw into a file if one is named."""
    failed = 0
    for prepared, found in detector.stream(_paths(pictures, names), batch_size):
        name = prepared.source[0]
        if found is None:
            failed += 1
            _complain(f"{prepared.error}; skipped")
            continue
        _say(f"{name}: {found.summary()}")
        if target is not None:
            write_picture(target, draw_detections(prepared.image, found))
    return _status(failed)


def _infer_folder(
    detector: BaseDetector,
    pictures: Pictures,
    parts: Parts,
    batch_size: int,
    drawings: dict[str, Path],
) -> int:
    total = parts.num_finished + len(parts.remaining)
    bar = tqdm(
        total=total,
        initial=parts.num_finished,
        unit="img",
        disable=None if parts.rank == 0 else True,
    )
    try:
        with bar, parts.writing():
            stream = detector.stream(_paths(pictures, parts.remaining), batch_size)
            for prepared, found in stream:
                name = prepared.source[0]
                if found is None:
                    _complain(f"{prepared.error}; skipped")
                    parts.add(name, error=prepared.error)
                else:
                    if drawings:
                        write_picture(drawings[name], draw_detections(prepared.image, found))
                    height, width = found.size
                    parts.add(name, width=width, height=height, detections=found.to_coco(0))
                bar.update()
    except KeyboardInterrupt:
        _complain(
            f"interrupted: {bar.n} of {total} pictures are finished; the same command goes on from "
            "there"
        )
        raise
    with parts.lock():
        records = parts.read_all()
        if records is None:
            return 0  # the last process to finish does the rest
        whole = [record for record in records if "error" not in record]
        count = write_results(parts.folder, whole, detector.classes)
    files = ", ".join(FILES)
    _say(f"{len(whole)} pictures, {count} objects: {files} in {parts.folder}")
    return _status(len(records) - len(whole))


def _infer_video(
    detector: BaseDetector,
    video: Video,
    folder: Optional[Path],
    batch_size: int,
    drawing: Optional[Path],
) -> int:
    records: list[dict] = []
    writer = None
    # A camera's pictures shall not wait for each other.
    size = 1 if video.is_camera else batch_size
    whole = False
    with open_video(video) as capture:
        frames = -1 if video.is_camera else int(capture.get(7))  # cv2.CAP_PROP_FRAME_COUNT
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        if drawing is not None:
            writer = VideoWriter(drawing, capture.get(5))  # cv2.CAP_PROP_FPS
        try:
            bar = tqdm(total=max(frames, 0) or None, unit="frame", disable=None)
            with bar, closing(detector.stream(read_frames(capture), size)) as stream:
                for prepared, found in stream:
                    number = prepared.source[0]
                    bar.update()
                    if folder is None:
                        _say(f"{video.name} {number}: {found.summary()}")
                        continue
                    height, width = found.size
                    shape = dict(file=video.name, frame=number, width=width, height=height)
                    records.append({**shape, "detections": found.to_coco(number)})
                    if writer is not None:
                        writer.add(draw_detections(prepared.image, found))
            whole = True
        except KeyboardInterrupt:
            whole = video.is_camera
            if not whole:
                _complain(f"interrupted: nothing of {video.name} is kept; start it again")
                raise
        finally:
            drawn = None if writer is None else writer.close(keep=whole)
    if folder is not None:
        count = write_results(folder, records, detector.classes)
        files = ", ".join([*FILES, *([drawn.name] if drawn else [])])
        _say(f"{len(records)} frames, {count} objects: {files} in {folder}")
    return 0


def _paths(pictures: Pictures, names: Iterable[str]) -> Iterable[tuple[str, Path]]:
    return ((name, pictures.root / name) for name in names)


def _status(failed: int) -> int:
    if failed:
        _complain(f"{failed} picture{'s' * (failed > 1)} can't be read and left out")
    return int(failed > 0)


def _say(text: str) -> None:
    tqdm.write(printable(text))
    sys.stdout.flush()


def _complain(text: str) -> None:
    tqdm.write(printable(text), file=sys.stderr)
