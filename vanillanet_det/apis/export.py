"""Detectors as files that run without PyTorch, as `tools/export.py` writes them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.registry import DefaultScope

from ..engine.config import config_errors, read_config
from ..engine.options import parse_size
from ..errors import UserError
from ..export.description import describe
from ..export.pictures import calibration_pictures, pictures_to_compare
from ..export.support import check_packages, check_support
from ..inference.building import build_detector
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
    """Write a detector, or its backbone, as a file that runs without PyTorch.

    Args:
        config: The config file.
        checkpoint: Its checkpoint, in any form.
        out: The file; None for one beside the checkpoint.
        format: `onnx` or `openvino`.
        precision: `fp32`, `bf16`, `fp16` or `int8`.
        part: `detector` or `backbone`.
        nms: Whether boxes that overlap better ones are left out in the file.
        input_size: To fix, `320` or `480x640` (height x width); None for any.
        batch_size: To fix; None for any.
        images: Folder of pictures to compare on; None for embedded ones.
        calibration: Folder of pictures for int8; None for those of the training.
        calibration_images: How many of them, at most.
        max_drop: For int8, how far AP may fall, from 0 to 1.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        What was written, and how far it is from PyTorch.

    Raises:
        UserError: Anything the user can mend; also a file that is too far from PyTorch, or has
            lost too much AP. No file is left then.
    """
    for name, value in (("batch-size", batch_size), ("calibration-images", calibration_images)):
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: expected a whole number from 1")
    if not 0 <= max_drop <= 1:
        raise UserError(
            f"--max-drop {max_drop:g}: expected a share of AP from 0 to 1, such as 0.01"
        )
    if part == "backbone" and (not nms or precision == "int8"):
        raise UserError(
            "--part backbone has no boxes and no AP; leave --no-nms and --precision int8 out"
        )
    size = None if input_size is None else parse_size(input_size, "input-size")
    needed = [*_NEEDED[format], *(["nncf"] if precision == "int8" else [])]
    if format == "onnx" and precision == "bf16":
        needed.append("openvino")  # ONNX Runtime can't compute it
    flags = f"--format {format} --precision {precision}"
    check_packages(flags, needed, "int8" if precision == "int8" else "export")
    # Imported here, since they need those packages.
    from ..export.exporting import ENDINGS, Exporter, Plan, staged

    ending = ENDINGS[format]
    suffix = "" if precision == "fp32" else f"_{precision}"
    if out is None and "://" in checkpoint:
        raise UserError(
            f"{checkpoint}: is no file to write another beside; give --out FILE{ending}"
        )
    beside = Path(checkpoint).with_name(f"{Path(checkpoint).stem}{suffix}{ending}")
    target = beside if out is None else Path(out).expanduser()
    if target.suffix != ending or target.is_dir():
        raise UserError(f"--out {target}: expected the name of a file, which ends in {ending}")
    cfg = read_config(config, cfg_options)
    with config_errors(cfg), DefaultScope.overwrite_default_scope("mmdet"):
        model, cfg, classes = build_detector(checkpoint, cfg)
        if part == "detector":
            check_support(model, nms)
        metadata = describe(cfg, model, classes, part)
        exporter = Exporter(model, metadata, Plan(part, nms, size, batch_size))
        pictures = pictures_to_compare(images, cfg)
        with staged(target) as path:
            lines = []
            if precision == "int8":
                few = calibration_pictures(calibration, cfg, calibration_images)
                # Both in one folder: MMEngine's visualizer keeps writing into the first.
                with tempfile.TemporaryDirectory() as folder:
                    found = {}
                    for name, calibrated in (("fp32", ()), (precision, few)):
                        exporter.write(path, name, calibrated)
                        found[name] = test(config, str(path), folder, cfg_options=cfg_options)
                lines += _check_drop(target, found["fp32"], found[precision], max_drop)
            else:
                exporter.write(path, precision)
            lines.insert(0, exporter.check(path, precision, pictures))
    files = [target, *([target.with_suffix(".bin")] if format == "openvino" else [])]
    size = sum(file.stat().st_size for file in files) / 1e6
    what = f"{target}: {part}, {precision}, {size:.1f} MB, compared with PyTorch on"
    return "\n".join([f"{what} {len(pictures)} pictures", *(f"- {line}" for line in lines)])


def _check_drop(
    target: Path, before: dict[str, float], after: dict[str, float], max_drop: float
) -> list[str]:
    kinds = [name for name in before if name.endswith("_mAP")]
    if not all(before[name] > 0 for name in kinds) or not kinds:
        raise UserError(
            f"--precision int8: in fp32 there is no AP of COCO's metric to lose ({before}): "
            "nothing says what int8 costs, and no file is kept; evaluate the checkpoint with "
            "tools/test.py, on data with annotations"
        )
    drops = {name: round(before[name] - after[name], 4) for name in kinds}
    lines = [
        f"{name.partition('/')[2].partition('_')[0]} AP {before[name]:.3f} in fp32, "
        f"{after[name]:.3f} in int8: {0 - drop:+.3f}"
        for name, drop in drops.items()
    ]
    # An AP that isn't a number is no AP that is kept.
    if not all(drop <= max_drop for drop in drops.values()):
        raise UserError(
            f"--out {target}: {'; '.join(lines)}; that is more than --max-drop {max_drop:g}, and "
            "no file is kept. Calibrate with more pictures (--calibration-images), allow more, or "
            "take bf16"
        )
    return lines
