"""A detector written as a file that runs without PyTorch, checked before it takes its name."""

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
from .detectors import export_form
from .onnx_file import BF16_OPSET, OPSET, opset_of, set_metadata, to_onnx
from .pixels import Pixels
from .quantization import quantize
from .reference import detect_twice, feature_error
from .verification import TOLERANCES, compare

ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}
_IN_16_BITS = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Plan:
    """What to write.

    Attributes:
        part: `detector` or `backbone`.
        nms: Whether boxes that overlap better ones are left out in the file.
        input_size: Height and width to fix; None for any.
        batch_size: Number of images to fix; None for any.
    """

    part: str = "detector"
    nms: bool = True
    input_size: Optional[tuple[int, int]] = None
    batch_size: Optional[int] = None


class Exporter:
    """Writes files of one detector.

    Args:
        model: The fused detector, see `build_detector`.
        metadata: What is known of the file; the rest is filled in here.
        plan: What to write.
    """

    def __init__(self, model: nn.Module, metadata: Metadata, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.metadata = replace(
            metadata,
            kind=plan.part,
            nms_inside=plan.nms,
            input_size=plan.input_size,
            batch_size=plan.batch_size,
            padding=self._padding(),
        )
        self._exported: dict[tuple[torch.dtype, bool], onnx.ModelProto] = {}  # which takes a minute

    def _padding(self) -> tuple[float, ...]:
        pixel = tuple(Pixels(self.model.data_preprocessor).padding_pixel)
        if self.plan.input_size is None:
            return tuple(min(max(value, 0.0), 255.0) for value in pixel)
        if not all(0 <= value <= 255 for value in pixel):
            raise UserError(
                f"--input-size: the config pads with {pixel}, which no pixel of a picture can be; "
                "set data_preprocessor.pad_value=0, or leave --input-size out"
            )
        return pixel

    def write(self, target: Path, precision: str, calibration: Sequence[np.ndarray] = ()) -> None:
        """Write the file.

        Args:
            target: It, in the format that its name ends in, of `ENDINGS`; beside an `.xml` file
                goes the `.bin` file.
            precision: `fp32`, `bf16`, `fp16` or `int8`.
            calibration: Pictures for int8, uint8 `(height, width, 3)` in BGR.

        Raises:
            OSError: It can't be written.
        """
        of_onnx = target.suffix == ENDINGS["onnx"]
        # OpenVINO chooses the precision when it opens the file.
        in_16_bits = _IN_16_BITS.get(precision) if of_onnx else None
        fold = precision not in _IN_16_BITS
        exported = self._to_onnx(in_16_bits or torch.float32, fold)
        metadata = replace(self.metadata, precision=precision, opset=opset_of(exported))
        model: Any = exported if of_onnx else _to_openvino(exported)
        if precision == "int8":
            count = self.plan.batch_size or 1
            model = quantize(
                model,
                "onnx" if of_onnx else "openvino",
                calibration,
                lambda image: fit(image, metadata)[0][None].repeat(count, axis=0),
            )
        if of_onnx:
            set_metadata(model, metadata)
            onnx.save(model, target)
            return
        model.set_rt_info(metadata.to_json(), KEY)
        try:
            load("openvino").save_model(model, target, compress_to_fp16=precision == "fp16")
        except RuntimeError as error:  # which has no errno, and often no words
            raise OSError(" ".join(str(error).split())) from error

    def _to_onnx(self, dtype: torch.dtype, fold: bool) -> onnx.ModelProto:
        key = dtype, fold
        if key not in self._exported:
            plan = self.plan
            form, outputs = export_form(self.model, plan.part, dtype, plan.nms, fold)
            opset = BF16_OPSET if dtype is torch.bfloat16 else OPSET
            model = to_onnx(form, outputs, plan.batch_size, plan.input_size, opset)
            self._exported[key] = model
        return self._exported[key]

    def check(self, path: Path, precision: str, pictures: Sequence[np.ndarray]) -> str:
        """Compare a file's results with PyTorch's.

        Args:
            path: The file.
            precision: Its.
            pictures: Uint8 `(height, width, 3)` in BGR.

        Returns:
            The differences, in words.

        Raises:
            UserError: They are too large, or there is nothing to compare.
        """
        tolerance = TOLERANCES[precision]
        if self.plan.part == "backbone":
            error = feature_error(self.model, path, pictures)
            text = f"largest difference of a feature: {error:.2g} of its largest value"
            if not error <= tolerance.feature:
                raise UserError(f"{path.name}: {text}, more than {tolerance.feature:g}; {_KEPT}")
            return text
        detector = Detector(path, score=0.0)
        pairs = [detect_twice(self.model, detector, image) for image in pictures]
        metadata = self.metadata
        found = compare(pairs, tolerance, metadata.score_threshold, metadata.max_detections)
        text = found.describe(tolerance)
        if not found.within(tolerance):
            raise UserError(f"{path.name}: {text}; that is too far from PyTorch, and {_KEPT}")
        if not found.expected:
            raise UserError(
                f"{path.name}: nothing is found in the {len(pictures)} pictures, so that nothing "
                f"can be compared, and {_KEPT}; give pictures with objects: --images DIR"
            )
        return text


_KEPT = "no file is kept"


def _to_openvino(model: onnx.ModelProto) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return load("openvino").convert_model(path)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a path to write a file to, which takes its own name once all is well.

    Args:
        target: Its name; a `.bin` file beside it moves with an `.xml` file.

    Yields:
        A path in a folder beside it, which is gone afterwards.

    Raises:
        UserError: It can't be written, or what is written into it.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            yield Path(folder) / target.name
            files = sorted(Path(folder).iterdir())
            if len(files) > 1:
                # An older .xml file must not be found beside the newer .bin file.
                target.unlink(missing_ok=True)
            for file in files:
                with open(file, "rb+") as written:
                    os.fsync(written.fileno())
                os.replace(file, target.with_name(file.name))
    except OSError as error:
        raise UserError(
            f"--out {target}: can't be written ({error.strerror or error}); make room, or choose "
            "another place"
        ) from error
