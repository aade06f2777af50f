"""Exported files as candidates, run by an engine other than PyTorch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from ..errors import UserError
from ..runtime import Detector
from ..runtime.engines import Engine, open_engine
from ..runtime.metadata import Metadata
from ..runtime.preprocessing import fit
from .candidates import Candidate, Inputs, Workload
from .results import Row


@dataclass(frozen=True)
class ExportedFile:
    """A file to measure.

    Attributes:
        path: The file.
        part: `detector` or `backbone`, whichever the file contains.
        engine: As in `open_engine`; None for the default of its format.
        values: Attributes of its rows that differ from those of the network.
    """

    path: Path
    part: str
    engine: Optional[str] = None
    values: dict[str, Any] = field(default_factory=dict)


class ExportedCandidate(Candidate):
    """An exported file on one input.

    Args:
        row: Its row.
        inputs: Its batches.
        engine: The opened file.
        detector: Detector that scales the file's boxes to the pixels of the images; None for a
            backbone.
    """

    def __init__(
        self, row: Row, inputs: Inputs, engine: Engine, detector: Optional[Detector]
    ) -> None:
        super().__init__(row, inputs)
        self._engine, self._detector = engine, detector
        self._batches = [_arrays(batch["inputs"], engine.metadata) for batch in inputs.batches]
        self._targets = [
            [_target(sample.metainfo) for sample in batch["data_samples"]]
            for batch in inputs.batches
        ]

    def compute(self, index: int) -> int:
        """Compute a batch, and return the number of detections."""
        outputs = self._engine.run(np.stack(self._batches[index]))
        if self._detector is None:
            return 0
        detections = [
            self._detector.finish({name: out[place] for name, out in outputs.items()}, *target)
            for place, target in enumerate(self._targets[index])
        ]
        return sum(map(len, detections))


def exported_candidates(
    workload: Workload, files: Iterable[ExportedFile], device: torch.device
) -> Iterator[ExportedCandidate]:
    """Build the candidates of files: one for each input that a file accepts.

    Args:
        workload: The network that the files were exported from, and its inputs.
        files: The files. Their engines get as many threads as PyTorch.
        device: Device to compute on.

    Raises:
        UserError: A file, the engine or the device can't be used, or a file accepts none of the
            inputs.
    """
    for file in files:
        options = dict(engine=file.engine, device=str(device), threads=torch.get_num_threads())
        detector = Detector(file.path, score=0.0, **options) if file.part == "detector" else None
        engine = detector.engine if detector else open_engine(file.path, **options)
        fitting = [inputs for inputs in workload.inputs if _takes(engine.metadata, inputs)]
        if not fitting:
            _refuse_inputs(file.path, engine.metadata, workload)
        for inputs in fitting:
            row = _make_row(workload, file, inputs, engine, device)
            yield ExportedCandidate(row, inputs, engine, detector)


def _make_row(
    workload: Workload, file: ExportedFile, inputs: Inputs, engine: Engine, device: torch.device
) -> Row:
    row = workload.make_row(
        workload.fused,
        file.part,
        inputs,
        precision=engine.precision,
        layout=None,
        mode=None,
        engine=engine.name,
        file_precision=engine.metadata.precision,
        **file.values,
    )
    notes = []
    if row.precision != row.file_precision:
        notes.append(f"{row.engine} computes {row.file_precision} files in {row.precision} here.")
    if file.part == "backbone" and device.type != "cpu":
        notes.append(
            f"The time of {row.engine} includes copying the features to the CPU, unlike PyTorch's."
        )
    row.notes = [*row.notes, *notes]
    return row


def _takes(metadata: Metadata, inputs: Inputs) -> bool:
    """Return whether a file accepts the shapes of all batches."""
    sizes = {
        array.shape[:2] for batch in inputs.batches for array in _arrays(batch["inputs"], metadata)
    }
    return metadata.batch_size in (None, inputs.shapes[0][0]) and (
        metadata.input_size is None or sizes == {metadata.input_size}
    )


def _refuse_inputs(path: Path, metadata: Metadata, workload: Workload) -> None:
    size, number = metadata.input_size, metadata.batch_size
    fixed = [
        *([f"--input-size {size[0]}x{size[1]}"] if size else []),
        *([f"--batch-size {number}"] if number else []),
    ]
    shapes = {" x ".join(map(str, s)) for i in workload.inputs for s in i.distinct_shapes}
    raise UserError(
        f"--exported {path}: is fixed to {' and '.join(fixed)}, but the inputs here are "
        f"{', '.join(sorted(shapes))}; measure with these options, or export it without them"
    )


def _arrays(images: list[torch.Tensor], metadata: Metadata) -> list[np.ndarray]:
    """Convert images `(3, H, W)` to arrays `(H, W, 3)`, padded to one size as networks do."""
    arrays = [image.permute(1, 2, 0).contiguous().numpy() for image in images]
    height, width = (max(array.shape[axis] for array in arrays) for axis in (0, 1))
    # The pipeline has already resized the images.
    padding = replace(metadata, resize=None, input_size=(height, width))
    return [fit(array, padding)[0] for array in arrays]


def _target(metainfo: dict[str, Any]) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return the scale of an image in width and height, and its original height and width."""
    return metainfo.get("scale_factor", (1.0, 1.0)), metainfo["ori_shape"][:2]
