"""The exported files to measure: the user's, and those that the benchmark exports itself."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from torch import nn

from ..analysis.meta import build_on_meta
from ..errors import UserError
from ..export.file_metadata import find_resize, make_metadata
from ..export.support import check_packages, check_support
from ..runtime.engines import open_engine
from ..runtime.metadata import Metadata
from .candidates import ShowStatus, Workload
from .exported import ExportedFile
from .settings import BenchmarkSettings

_FORMATS = {"onnxruntime": "onnx", "openvino": "openvino"}
_EXPORT_PACKAGES = ("onnx", "onnxscript")


@dataclass(frozen=True)
class UserFile:
    """A file passed with `--exported` that can be opened here.

    Attributes:
        path: The file.
        metadata: Its metadata.
    """

    path: Path
    metadata: Metadata


def find_user_files(configs: Sequence[Config], settings: BenchmarkSettings) -> list[list[UserFile]]:
    """Open the files passed with `--exported`, and find the config of each.

    Args:
        configs: The configs.
        settings: What to measure.

    Returns:
        The files of each config.

    Raises:
        UserError: A file can't be used, contains a part that isn't measured, or belongs to none of
            the configs.
    """
    files: list[list[UserFile]] = [[] for _ in configs]
    for path in settings.exported:
        metadata = open_engine(path, device=str(settings.device)).metadata
        file = UserFile(Path(path), metadata)
        if metadata.kind not in settings.parts:
            raise UserError(
                f"--exported {path}: contains a {metadata.kind}, but --part is "
                f"{' '.join(settings.parts)}; omit one of the two"
            )
        files[_find_config(file, configs)].append(file)
    return files


def _find_config(file: UserFile, configs: Sequence[Config]) -> int:
    if len(configs) == 1:
        return 0
    names = [Path(cfg.filename).stem for cfg in configs]
    model = file.metadata.model
    matches = [index for index, name in enumerate(names) if name == model]
    if len(matches) != 1:
        raise UserError(
            f"--exported {file.path}: was exported from the config {model!r}, and "
            f"{len(matches) or 'none'} of the configs here ({', '.join(names)}) have this name; "
            "measure it with its own config"
        )
    return matches[0]


def user_files(
    workload: Workload, files: Sequence[UserFile], show_status: ShowStatus
) -> Iterator[ExportedFile]:
    """Check the user's files against the network of their config.

    Args:
        workload: The network.
        files: Its files.
        show_status: Called with the current step.

    Raises:
        UserError: A file has a different number of classes.
    """
    config = Path(workload.cfg.filename).stem
    for file in files:
        show_status(f"{workload.name}: opening {file.path.name}")
        notes = []
        if file.metadata.model != config:
            notes.append(
                f"{file.path.name} was exported from the config {file.metadata.model!r}; GFLOPs, "
                f"parameters and the share of the limit are those of {config!r}."
            )
        if file.metadata.kind == "detector":
            _check_classes(file, workload.network.model)
            if workload.network.checkpoint is None:
                notes.append(
                    f"{file.path.name} has its own weights, the other rows have random ones, and "
                    "more boxes take more time; also pass the checkpoint it was exported from."
                )
        values = dict(checkpoint=str(file.path), missing=[], notes=notes)
        yield ExportedFile(file.path, file.metadata.kind, values=values)


def _check_classes(file: UserFile, model: nn.Module) -> None:
    head = getattr(model, "roi_head", model).bbox_head
    head = head[0] if isinstance(head, nn.ModuleList) else head
    classes = len(file.metadata.classes)
    if classes != head.num_classes:
        raise UserError(
            f"--exported {file.path}: has {classes} classes, but the config's detector has "
            f"{head.num_classes}; measure it with the config that it was exported from"
        )


def check_exports(configs: Sequence[Config], settings: BenchmarkSettings) -> None:
    """Check `--engine` before networks are built and exported.

    Args:
        configs: The configs.
        settings: What to measure.

    Raises:
        UserError: An engine or a package for the export is missing, an engine can't compute in
            a precision or on the device, or a detector can't be exported.
    """
    engines = settings.export_engines
    on_cpu = settings.device.type == "cpu"
    if "onnxruntime" in engines and "bf16" in settings.precisions and on_cpu:
        raise UserError(
            "--engine onnxruntime --precision bf16: ONNX Runtime has no convolution in bf16 for "
            "CPUs; use --engine openvino, or omit bf16"
        )
    if "openvino" in engines and not on_cpu:
        raise UserError(
            f"--engine openvino: can't compute on --device {settings.device}; omit one of the two"
        )
    for engine in engines:
        check_packages(f"--engine {engine}", [*_EXPORT_PACKAGES, engine])
    if engines and "detector" in settings.parts:
        for cfg in configs:
            _check_detector(cfg, engines)


def _check_detector(cfg: Config, engines: Sequence[str]) -> None:
    try:
        model = build_on_meta(cfg.model)
    except Exception:  # building the real network gives a better error
        return
    try:
        check_support(model)
        find_resize(cfg)
    except UserError as error:
        name = Path(cfg.filename).stem
        raise UserError(f"--engine {' '.join(engines)}: {name}: {error}") from error


def export_files(
    workload: Workload, settings: BenchmarkSettings, show_status: ShowStatus
) -> Iterator[ExportedFile]:
    """Export a fused network for each engine; the files are deleted afterwards.

    Args:
        workload: The network.
        settings: What to measure.
        show_status: Called with the current step.

    Raises:
        UserError: The network can't be exported, or there is no space for its files.
    """
    if not settings.export_engines:
        return
    try:
        with tempfile.TemporaryDirectory(prefix="vanillanet_det.") as folder:
            for part in settings.parts:
                yield from _export(workload, settings, part, Path(folder), show_status)
    except OSError as error:
        raise UserError(
            f"--engine: {workload.name} can't be exported into {tempfile.gettempdir()} "
            f"({error.strerror or error}); set the environment variable TMPDIR to a folder with "
            "more space"
        ) from error


def _export(
    workload: Workload,
    settings: BenchmarkSettings,
    part: str,
    folder: Path,
    show_status: ShowStatus,
) -> Iterator[ExportedFile]:
    # Imported here, since it needs optional packages.
    from ..export.exporter import ENDINGS, Exporter, ExportOptions

    model = workload.fused.model
    metadata = Metadata(part, workload.name, "fp32")
    if part == "detector":
        metadata = make_metadata(workload.cfg, model, ())
    exporter = Exporter(model, metadata, ExportOptions(part=part))
    for engine, precision in itertools.product(settings.export_engines, settings.precisions):
        show_status(f"{workload.name} {part}, {precision}: exporting for {engine}, up to a minute")
        path = folder / f"{part}_{precision}{ENDINGS[_FORMATS[engine]]}"
        exporter.write(path, precision)
        yield ExportedFile(path, part, engine)
