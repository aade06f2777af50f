"""Detection in images, videos and cameras, used by `vanillanet-det infer`."""

import os
from pathlib import Path
from typing import Optional

import torch

from ..errors import UserError
from ..inference import load_detector
from ..runtime import Detector
from ..runtime.engines import ENDINGS
from ..runtime.predict import Output, predict
from ..runtime.records import Share
from ..runtime.sources import Video, find_work
from ..runtime.tiles import Tiles


def infer(
    model: str,
    source: str,
    config: Optional[str] = None,
    out: Optional[str] = None,
    score: Optional[float] = None,
    tiles: Optional[str] = None,
    batch_size: int = 4,
    device: Optional[str] = None,
    draw: bool = True,
    threads: Optional[int] = None,
) -> int:
    """Detect objects with a fused network or an exported file.

    With torchrun, the images are split across processes; the last one to finish writes the results.

    Args:
        model: A detector's checkpoint, in any form, or an exported `.onnx` or `.xml` file.
        source: An image, a folder, a file pattern, a video, or `camera:0`.
        config: The checkpoint's config file; None for the config stored in the checkpoint.
        out: A JPEG or PNG file for the drawing of a single image, or a folder for all results; None
            to print a line per image.
        score: Score threshold; None for the detector's own thresholds, or 0.3 if it has none.
        tiles: Tiles that large images are cut into, such as `640`; `none` for no tiles; None cuts
            them as the detector was trained.
        batch_size: Maximum number of images of the same shape in a batch.
        device: Device to run on; None for a GPU if available. Exported files default to the CPU.
        draw: Draw the objects.
        threads: Number of CPU threads; None for PyTorch's default.

    Returns:
        Exit status: 1 if an image can't be read.

    Raises:
        UserError: There is a mistake in an argument, the checkpoint or the images.
    """
    for name, value in (("--batch-size", batch_size), ("--threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: expected a positive number")
    cut = Tiles.parse(tiles)
    path = None if out is None else Path(out).expanduser()
    found, drawings = find_work(source, path, draw)
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if isinstance(found, Video) and world_size > 1:
        raise UserError(f"{source}: can't be split across {world_size} processes; start only one")
    if threads is not None:
        torch.set_num_threads(threads)
    if Path(model).suffix.lower() in ENDINGS:
        if config is not None:
            raise UserError(f"--config {config}: {model} is exported and needs no config; omit it")
        detector = Detector(model, score, device=device or "cpu", threads=threads, tiles=cut)
    else:
        if device is None and torch.cuda.is_available() and world_size > 1:
            device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
        detector = load_detector(model, config, device, score, cut)
    share = Share(rank, world_size, run_id=os.environ.get("TORCHELASTIC_RUN_ID", ""))
    output = Output(path, drawings)
    return predict(
        detector, model, found, output, config=config, batch_size=batch_size, share=share
    )
