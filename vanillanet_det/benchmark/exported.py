"""Exported files, which other engines than PyTorch compute."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from ..runtime import Detector
from ..runtime.engines import Engine, open_engine
from ..runtime.metadata import Metadata
from ..runtime.preprocessing import fit
from .candidates import Candidate, Inputs, Subject
from .rows import Row


class ExportedCandidate(Candidate):
    """An exported file.

    Args:
        row: Its row.
        inputs: What it computes.
        engine: What computes it.
        detector: What brings its boxes into the pictures' pixels; None for a backbone's file.
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
        """Compute a batch; returns how many boxes were found."""
        outputs = self._engine.run(np.stack(self._batches[index]))
        if self._detector is None:
            return 0
        found = [
            self._detector.finish({name: out[place] for name, out in outputs.items()}, *target)
            for place, target in enumerate(self._targets[index])
        ]
        return sum(map(len, found))


def exported_candidates(
    subject: Subject,
    part: str,
    path: Path,
    engine: Optional[str],
    device: torch.device,
    **values: Any,
) -> Iterator[ExportedCandidate]:
    """Make the candidates of a file: on each batch that it takes.

    Args:
        subject: The network that it was made of.
        part: `detector` or `backbone`, whichever is in it.
        path: The file.
        engine: As `open_engine` takes it; it gets as many threads as PyTorch has.
        device: Where to compute.
        values: Of the rows, attributes that aren't the network's.

    Raises:
        UserError: File, engine or device can't be used.
    """
    options = dict(engine=engine, device=str(device), threads=torch.get_num_threads())
    detector = Detector(path, score=0.0, **options) if part == "detector" else None
    opened = detector.engine if detector else open_engine(path, **options)
    for inputs in subject.inputs:
        if not takes(opened.metadata, inputs):
            continue
        row = subject.make_row(
            subject.fused,
            part,
            inputs,
            precision=opened.precision,
            layout=None,
            compiled=False,
            engine=opened.name,
            file_precision=opened.metadata.precision,
            **values,
        )
        if row.precision != row.file_precision:
            sentence = f"{row.engine} computes {row.file_precision} files in {row.precision} here."
            row.notes = [*row.notes, sentence]
        if part == "backbone" and device.type != "cpu":
            sentence = f"{row.engine} copies features to the processor in its time, unlike PyTorch."
            row.notes = [*row.notes, sentence]
        yield ExportedCandidate(row, inputs, opened, detector)


def takes(metadata: Metadata, inputs: Inputs) -> bool:
    """Say whether a file takes batches as they are, or is fixed to others."""
    sizes = {
        array.shape[:2] for batch in inputs.batches for array in _arrays(batch["inputs"], metadata)
    }
    return metadata.batch_size in (None, inputs.shapes[0][0]) and (
        metadata.input_size is None or sizes == {metadata.input_size}
    )


def _arrays(images: list[torch.Tensor], metadata: Metadata) -> list[np.ndarray]:
    """Lay images `(3, H, W)` out as `(H, W, 3)`, filled up to one size as networks do."""
    arrays = [image.permute(1, 2, 0).contiguous().numpy() for image in images]
    height, width = (max(array.shape[axis] for array in arrays) for axis in (0, 1))
    # They are resized already.
    fill = replace(metadata, resize=None, input_size=(height, width))
    return [fit(array, fill)[0] for array in arrays]


def _target(metainfo: dict[str, Any]) -> tuple[tuple[float, float], tuple[int, int]]:
    """Find how much a picture was scaled, in width and height, and its own height and width."""
    return metainfo.get("scale_factor", (1.0, 1.0)), metainfo["ori_shape"][:2]
