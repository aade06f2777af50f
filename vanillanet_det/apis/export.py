"""Export of detectors to files that run without PyTorch, used by `vanillanet-det export`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.registry import DefaultScope

from ..engine.config import config_errors, read_config
from ..engine.options import parse_size
from ..errors import UserError
from ..export.file_metadata import make_metadata
from ..export.image_sets import load_calibration_images, load_verification_images
from ..export.support import check_packages, check_support
from ..inference.building import build_detector
from ..installation import command
from .test import test

_NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnxscript", "openvino")}


def export(
    config: str,
    checkpoint: str,
    out: Optional[str] = None,
    format: str = "onnx",
    precision: str = "fp32",
    part: str = "detector",
    nms: bool = True,
    input_size: Optional[str] = None,
    batch_size: Optional[int] = None,
    images: Optional[str] = None,
    calibration: Optional[str] = None,
    calibration_images: int = 300,
    max_drop: float = 0.01,
    cfg_options: Sequence[str] = (),
) -> str:
    """Export a detector, or its backbone, to a file that runs without PyTorch.

    Args:
        config: The config file.
        checkpoint: The detector's checkpoint, in any network form.
        out: Output file; None writes it next to the checkpoint.
        format: `onnx` or `openvino`.
        precision: `fp32`, `bf16`, `fp16` or `int8`.
        part: `detector` or `backbone`.
        nms: Include non-maximum suppression in the file.
        input_size: Fixed size, `320` or `480x640` (height x width); None for any.
        batch_size: Fixed batch size; None for any.
        images: Folder of images to verify the file on; None for some of the config's test images,
            or embedded images if those don't exist.
        calibration: Folder of calibration images for int8; None for the training images.
        calibration_images: Maximum number of calibration images.
        max_drop: Maximum drop in AP from fp32 to int8, from 0 to 1.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        A report of the file and its differences from PyTorch.

    Raises:
        UserError: The user made a mistake, or the exported file differs too much from PyTorch or
            loses too much AP; the file is then discarded.
    """
    for name, value in (("batch-size", batch_size), ("calibration-images", calibration_images)):
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: expected a positive integer")
    if not 0 <= max_drop <= 1:
        raise UserError(f"--max-drop {max_drop:g}: expected a drop in AP from 0 to 1, such as 0.01")
    if part == "backbone" and (not nms or precision == "int8"):
        raise UserError(
            "--part backbone: a backbone has no boxes and no AP; omit --no-nms and --precision int8"
        )
    size = None if input_size is None else parse_size(input_size, "input-size")
    needed = [*_NEEDED[format], *(["nncf"] if precision == "int8" else [])]
    if format == "onnx" and precision == "bf16":
        needed.append("openvino")  # ONNX Runtime doesn't support it
    flags = f"--format {format} --precision {precision}"
    cfg = read_config(config, cfg_options)
    check_packages(flags, needed, "int8" if precision == "int8" else "export")
    # Imported here because the import requires those packages.
    from ..export.exporter import ENDINGS, Exporter, ExportOptions, staged

    ending = ENDINGS[format]
    suffix = "" if precision == "fp32" else f"_{precision}"
    if out is None and "://" in checkpoint:
        raise UserError(
            f"{checkpoint}: is a URL, so there is no default path; pass --out FILE{ending}"
        )
    beside = Path(checkpoint).with_name(f"{Path(checkpoint).stem}{suffix}{ending}")
    target = beside if out is None else Path(out).expanduser()
    if target.suffix != ending or target.is_dir():
        raise UserError(f"--out {target}: expected a path ending in {ending}")
    with config_errors(cfg), DefaultScope.overwrite_default_scope("mmdet"):
        model, cfg, classes = build_detector(checkpoint, cfg)
        if part == "detector":
            check_support(model, nms)
        metadata = make_metadata(cfg, model, classes, part)
        exporter = Exporter(model, metadata, ExportOptions(part, nms, size, batch_size))
        verification = load_verification_images(images, cfg)
        with staged(target) as path:
            lines = []
            if precision == "int8":
                few = load_calibration_images(calibration, cfg, calibration_images)
                # Both runs share a folder: MMEngine's visualizer keeps writing to the first one.
                with tempfile.TemporaryDirectory() as folder:
                    metrics = {}
                    for name, calibrated in (("fp32", ()), (precision, few)):
                        exporter.write(path, name, calibrated)
                        metrics[name] = test(config, str(path), folder, cfg_options=cfg_options)
                lines += _check_drop(target, metrics["fp32"], metrics[precision], max_drop)
            else:
                exporter.write(path, precision)
            lines.insert(0, exporter.verify(path, precision, verification))
    files = [target, *([target.with_suffix(".bin")] if format == "openvino" else [])]
    size = sum(file.stat().st_size for file in files) / 1e6
    summary = f"{target}: {part}, {precision}, {size:.1f} MB, compared with PyTorch on"
    return "\n".join([f"{summary} {len(verification)} images", *(f"- {line}" for line in lines)])


def _check_drop(
    target: Path, before: dict[str, float], after: dict[str, float], max_drop: float
) -> list[str]:
    names = [name for name in before if name.endswith("_mAP")]
    if not all(before[name] > 0 for name in names) or not names:
        raise UserError(
            f"--precision int8: can't measure the drop, because the AP is 0 or missing in fp32 "
            f"({before}); the file was discarded. Evaluate the checkpoint with "
            f"{command('test')} on annotated images first"
        )
    drops = {name: round(before[name] - after[name], 4) for name in names}
    lines = [
        f"{name.partition('/')[2].partition('_')[0]} AP {before[name]:.3f} in fp32, "
        f"{after[name]:.3f} in int8: {0 - drop:+.3f}"
        for name, drop in drops.items()
    ]
    # NaN counts as a drop.
    if not all(drop <= max_drop for drop in drops.values()):
        raise UserError(
            f"--out {target}: {'; '.join(lines)}; the drop exceeds --max-drop {max_drop:g}, so the "
            "file was discarded. Calibrate with more images (--calibration-images), raise "
            "--max-drop, or use bf16"
        )
    return lines
