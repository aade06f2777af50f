"""Writing and verifying ONNX and OpenVINO files of a detector."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import torch
from torch import nn

from ..errors import UserError
from ..runtime import Detector
from ..runtime.metadata import KEY, Metadata
from ..runtime.packages import load
from ..runtime.preprocessing import fit
from .comparison import TOLERANCES, compare
from .detectors import export_form
from .onnx_file import BF16_OPSET, OPSET, opset_of, set_metadata, to_onnx
from .preprocessor import ExportedPreprocessor
from .quantization import quantize
from .verification import detect_with_both, feature_error, find_candidates

ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}
_HALF_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_DISCARDED = "the file was discarded"


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        part: `detector` or `backbone`.
        nms: Whether the file includes non-maximum suppression.
        input_size: Fixed height and width; None for any.
        batch_size: Fixed number of images; None for any.
    """

    part: str = "detector"
    nms: bool = True
    input_size: Optional[tuple[int, int]] = None
    batch_size: Optional[int] = None


class Exporter:
    """Exporter of one detector: writes files and verifies them.

    Args:
        model: The fused detector, from `build_detector`.
        metadata: Metadata from `make_metadata`; options and padding are filled in here.
        options: Options of the export.
    """

    def __init__(self, model: nn.Module, metadata: Metadata, options: ExportOptions) -> None:
        self.model, self.options = model, options
        self.metadata = replace(
            metadata,
            kind=options.part,
            nms_inside=options.nms,
            input_size=options.input_size,
            batch_size=options.batch_size,
            padding=self._padding(),
        )
        # Cached, since tracing takes up to a minute.
        self._exported: dict[tuple[torch.dtype, bool], onnx.ModelProto] = {}

    def _padding(self) -> tuple[float, ...]:
        pixel = tuple(ExportedPreprocessor(self.model.data_preprocessor).padding_pixel)
        if self.options.input_size is None:
            return tuple(min(max(value, 0.0), 255.0) for value in pixel)
        if not all(0 <= value <= 255 for value in pixel):
            raise UserError(
                f"--input-size: the config pads with {pixel}, but pixels range from 0 to 255; set "
                "data_preprocessor.pad_value=0, or omit --input-size"
            )
        return pixel

    def write(self, target: Path, precision: str, calibration: Sequence[np.ndarray] = ()) -> None:
        """Write a file.

        Args:
            target: The file; its suffix, one of `ENDINGS`, selects the format. An `.xml` file gets
                a `.bin` file beside it.
            precision: `fp32`, `bf16`, `fp16` or `int8`.
            calibration: Calibration images for int8, uint8 `(height, width, 3)` in BGR.

        Raises:
            OSError: The file can't be written.
        """
        is_onnx = target.suffix == ENDINGS["onnx"]
        # OpenVINO selects the precision when it opens the file.
        dtype = _HALF_TYPES.get(precision, torch.float32) if is_onnx else torch.float32
        exported = self._to_onnx(dtype, fold=precision not in _HALF_TYPES)
        metadata = replace(self.metadata, precision=precision, opset=opset_of(exported))
        model: Any = exported if is_onnx else _to_openvino(exported)
        if precision == "int8":
            count = self.options.batch_size or 1
            model = quantize(
                model,
                "onnx" if is_onnx else "openvino",
                calibration,
                lambda image: fit(image, metadata)[0][None].repeat(count, axis=0),
            )
        if is_onnx:
            set_metadata(model, metadata)
            onnx.save(model, target)
            return
        model.set_rt_info(metadata.to_json(), KEY)
        try:
            load("openvino").save_model(model, target, compress_to_fp16=precision == "fp16")
        except RuntimeError as error:  # without errno, often with line breaks
            raise OSError(" ".join(str(error).split())) from error

    def _to_onnx(self, dtype: torch.dtype, fold: bool) -> onnx.ModelProto:
        key = dtype, fold
        if key not in self._exported:
            options = self.options
            form, outputs = export_form(self.model, options.part, dtype, options.nms, fold)
            opset = BF16_OPSET if dtype is torch.bfloat16 else OPSET
            self._exported[key] = to_onnx(
                form, outputs, options.batch_size, options.input_size, opset
            )
        return self._exported[key]

    def verify(self, path: Path, precision: str, images: Sequence[np.ndarray]) -> str:
        """Compare a file's results with PyTorch's.

        Args:
            path: The file.
            precision: Its precision.
            images: Uint8 `(height, width, 3)` each, BGR.

        Returns:
            A line that summarizes the differences.

        Raises:
            UserError: The differences are too large, or there is nothing to compare.
        """
        tolerance = TOLERANCES[precision]
        if self.options.part == "backbone":
            error = feature_error(self.model, path, images)
            text = f"largest difference of a feature: {error:.2g} of its largest value"
            if not error <= tolerance.feature:
                raise UserError(
                    f"{path.name}: {text}, more than {tolerance.feature:g}; {_DISCARDED}"
                )
            return text
        detector = Detector(path, score=0.0)
        pairs = [detect_with_both(self.model, detector, image) for image in images]
        metadata = self.metadata
        differences = compare(
            pairs,
            tolerance,
            metadata.score_threshold,
            metadata.max_detections,
            metadata.iou_threshold,
            lambda index: find_candidates(self.model, detector, images[index]),
        )
        text = differences.describe(tolerance)
        if not differences.within(tolerance):
            raise UserError(
                f"{path.name}: {text}; differs too much from PyTorch, {_DISCARDED}; if the "
                "images are foreign to the detector, pass some of its own: --images DIR"
            )
        if not differences.expected:
            raise UserError(
                f"{path.name}: no detections in the {len(images)} images, so nothing can be "
                f"compared, {_DISCARDED}; pass images with objects: --images DIR"
            )
        return text


def _to_openvino(model: onnx.ModelProto) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return load("openvino").convert_model(path)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder, and move the file into place if nothing fails.

    Args:
        target: The file; the `.bin` file of an `.xml` file is moved with it.

    Yields:
        The path to write, in a temporary folder beside the target.

    Raises:
        UserError: A file can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            yield Path(folder) / target.name
            files = sorted(Path(folder).iterdir())
            if len(files) > 1:
                # An old .xml file must never exist beside a new .bin file.
                target.unlink(missing_ok=True)
            for file in files:
                with open(file, "rb+") as written:
                    os.fsync(written.fileno())
                os.replace(file, target.with_name(file.name))
    except OSError as error:
        raise UserError(
            f"--out {target}: can't be written ({error.strerror or error}); free disk space, or "
            "choose another path"
        ) from error
