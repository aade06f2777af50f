"""Networks that the benchmark exports itself, to measure them in other engines."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from ..analysis.meta import build_on_meta
from ..errors import UserError
from ..export.file_metadata import find_resize, make_metadata
from ..export.support import check_packages, check_support
from ..runtime.metadata import Metadata
from .candidates import Say, Subject
from .exported import ExportedCandidate, exported_candidates
from .plan import Plan

_FORMATS = {"onnxruntime": "onnx", "openvino": "openvino"}
_NEEDED = ("onnx", "onnxscript")


def check_exports(configs: Sequence[Config], plan: Plan) -> None:
    """Check what can be checked before networks are built and exported.

    Args:
        configs: The configs.
        plan: What to measure.

    Raises:
        UserError: An engine, or a package to export with, isn't there or can't compute what is
            asked for; or a detector can't be exported.
    """
    for engine in plan.others:
        check_packages(f"--engine {engine}", [*_NEEDED, engine])
    on_cpu = plan.device.type == "cpu"
    if "onnxruntime" in plan.others and "bf16" in plan.precisions and on_cpu:
        raise UserError(
            "--engine onnxruntime --precision bf16: ONNX Runtime has no convolution in bf16 for "
            "CPUs; take --engine openvino, or leave bf16 out"
        )
    if "openvino" in plan.others and not on_cpu:
        raise UserError(
            f"--engine openvino: can't compute on --device {plan.device}; leave one of both out"
        )
    if plan.others and "detector" in plan.parts:
        for cfg in configs:
            _check_detector(cfg, plan.others)


def _check_detector(cfg: Config, engines: Sequence[str]) -> None:
    try:
        model = build_on_meta(cfg.model)
    except Exception:  # which the network says better when it is built in earnest
        return
    try:
        check_support(model)
        find_resize(cfg)
    except UserError as error:
        name = Path(cfg.filename).stem
        raise UserError(f"--engine {' '.join(engines)}: {name}: {error}") from error


def written_candidates(subject: Subject, plan: Plan, say: Say) -> Iterator[ExportedCandidate]:
    """Export a network, fused, and make the candidates of its files, which are gone afterwards.

    Args:
        subject: The network.
        plan: What to measure.
        say: Called with what is done.

    Raises:
        UserError: It can't be exported, or there is no room for its files.
    """
    if not plan.others:
        return
    try:
        with tempfile.TemporaryDirectory(prefix="vanillanet_det.") as folder:
            for part in plan.parts:
                yield from _write(subject, plan, part, Path(folder), say)
    except OSError as error:
        raise UserError(
            f"--engine: {subject.name} can't be exported into {tempfile.gettempdir()} "
            f"({error.strerror or error}); name a folder with room for it in the environment "
            "variable TMPDIR"
        ) from error


def _write(
    subject: Subject, plan: Plan, part: str, folder: Path, say: Say
) -> Iterator[ExportedCandidate]:
    # Imported here, since it needs packages that not everybody has.
    from ..export import exporter as exporting

    model = subject.fused.model
    metadata = Metadata(part, subject.name, "fp32")
    if part == "detector":
        metadata = make_metadata(subject.cfg, model, ())
    exporter = exporting.Exporter(model, metadata, exporting.ExportOptions(part=part))
    for engine, precision in itertools.product(plan.others, plan.precisions):
        say(f"{subject.name} {part}, {precision}: exporting for {engine}, up to a minute")
        path = folder / f"{part}_{precision}{exporting.ENDINGS[_FORMATS[engine]]}"
        exporter.write(path, precision)
        yield from exported_candidates(subject, part, path, engine, plan.device)
