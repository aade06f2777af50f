"""Evaluation, used by `vanillanet-det test`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.evaluation import DumpDetResults
from mmdet.models import DetTTAModel
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from ..checkpoints.reading import read_ahead
from ..checks import Finding, leaf_datasets
from ..configs import is_ultralytics, type_name
from ..engine.config import (
    check_tensorboard,
    check_writable,
    config_errors,
    load_config,
    remove_hooks,
)
from ..engine.hooks import SwitchToDeployHook
from ..engine.hooks.check_data_hook import check_run, log_warnings
from ..engine.launch import end_distributed, init_distributed
from ..engine.ranks import (
    first_rank_reports,
    gather_or_raise,
    is_first,
    is_first_of_node,
    lost_rank_errors,
)
from ..engine.runner import build_runner
from ..engine.size_errors import size_errors
from ..errors import UserError
from ..inference.exported import ExportedModel
from ..inference.ultralytics import ultralytics_config
from ..installation import configs_folder
from ..models.mask_tta import MaskTTAModel
from ..runtime.engines import ENDINGS


def test(
    config: str,
    checkpoint: str,
    work_dir: Optional[str] = None,
    out: Optional[str] = None,
    show_dir: Optional[str] = None,
    tta: bool = False,
    deploy: bool = True,
    cfg_options: Sequence[str] = (),
    launcher: str = "none",
    verbose: bool = False,
    checked: bool = False,
) -> dict:
    """Evaluate a checkpoint.

    Args:
        config: The config file.
        checkpoint: The checkpoint file, an exported `.onnx` or `.xml` file, or a `.pt` file or YAML
            of Ultralytics.
        work_dir: Folder for logs.
        out: File for the raw results, `.pkl` or `.pickle`; it is written only when complete.
        show_dir: Folder for images with the detections, relative to the run's log folder.
        tta: Use test-time augmentation, with `tta_model` and `tta_pipeline` of the config.
        deploy: Evaluate the fused model; otherwise the training form.
        cfg_options: `key=value` pairs that override the config.
        launcher: Job launcher for distributed runs.
        verbose: Print the whole log, including the config and the environment.
        checked: Whether the config and the data have just been checked.

    Returns:
        The metrics.

    Raises:
        UserError: There is a mistake in the config, the data, the checkpoint or a folder.
    """
    if out is not None and not out.endswith((".pkl", ".pickle")):
        raise UserError(f"--out {out}: expected a path ending in .pkl or .pickle")
    exported = Path(checkpoint).suffix.lower() in ENDINGS
    foreign = is_ultralytics(checkpoint)
    if exported or foreign:
        flags = {"--tta": tta, "--no-deploy": exported and not deploy}
        flags["--launcher"] = launcher != "none"
        for flag in (flag for flag, is_set in flags.items() if is_set):
            kind = "exported" if exported else "Ultralytics'"
            raise UserError(
                f"{flag}: {checkpoint} is {kind}, which rules this option out; omit {flag}"
            )
    with first_rank_reports():
        cfg = load_config(config, work_dir, cfg_options, launcher)
        with config_errors(cfg):
            init_distributed(cfg)
            if out is not None:
                gather_or_raise(lambda: _check_out(Path(out)), is_first())
            warnings, *_ = gather_or_raise(
                lambda: _check(cfg, checkpoint, exported or foreign, checked), is_first_of_node()
            )
            cfg.load_from, cfg.resume = None if exported or foreign else checkpoint, False
            _set_deploy(cfg, deploy and not exported)
            if exported:
                _set_exported(cfg, checkpoint)
            elif foreign:
                _set_ultralytics(cfg, checkpoint)
            elif not deploy and cfg.get("model", {}).get("backbone", {}).get("deploy"):
                raise UserError(
                    f"--no-deploy: {config} sets model.backbone.deploy=True, and a deployed "
                    "network has no training form; use --deploy"
                )
            if show_dir is not None:
                _set_show_dir(cfg, show_dir)
            if tta:
                _set_tta(cfg)
            runner = build_runner(cfg, verbose)
            log_warnings(warnings)
            if exported or foreign:
                _check_classes(runner, checkpoint)
    with config_errors(cfg), size_errors(cfg), lost_rank_errors():
        metrics = runner.test() if out is None else _test_and_dump(runner, Path(out))
    end_distributed(cfg)
    return metrics


def _check(cfg: Config, checkpoint: str, exported: bool, checked: bool) -> list[Finding]:
    if not exported:
        read_ahead(checkpoint)
    warnings = [] if checked else check_run(cfg, ("test_dataloader",))
    check_tensorboard(cfg)
    return warnings


def _check_out(out: Path) -> None:
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; expected a file path")
    check_writable(out.parent, f"--out {out}: folder", "--out FILE")


def _test_and_dump(runner: Runner, out: Path) -> dict:
    partial = out.with_name(f".{out.name}")
    runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=str(partial)))
    try:
        metrics = runner.test()
        if is_first():  # only the first rank writes
            os.replace(partial, out)
    finally:
        if is_first():
            partial.unlink(missing_ok=True)
    return metrics


def _set_exported(cfg: Config, file: str) -> None:
    """Replace the model with an exported file, which resizes the images itself."""
    cfg.model = ConfigDict(type=ExportedModel.__name__, path=file)
    for dataset in leaf_datasets(cfg.test_dataloader):
        dataset.pipeline = [step for step in dataset.pipeline if type_name(step) != "Resize"]
    remove_hooks(cfg, "EMAHook")  # the file has no weights to average


def _set_ultralytics(cfg: Config, path: str) -> None:
    """Replace the model with a network of Ultralytics, and the size of images with its own."""
    own = ultralytics_config(path)
    cfg.model = own.model
    (scale,) = [step.scale for step in own.test_dataloader.dataset.pipeline if "scale" in step]
    for dataset in leaf_datasets(cfg.test_dataloader):
        for step in dataset.pipeline:
            if type_name(step) == "Resize":
                step.clear()
                step.update(type="Resize", scale=scale, keep_ratio=True)
    remove_hooks(cfg, "EMAHook")


def _check_classes(runner: Runner, file: str) -> None:
    expected = tuple(runner.test_dataloader.dataset.metainfo.get("classes") or ())
    found = runner.model.classes
    if found != expected:
        raise UserError(
            f"{file}: its classes are {', '.join(found[:20])}, but the config's dataset has "
            f"{', '.join(expected[:20])}; use the config of the dataset that it was trained on"
        )


def _set_deploy(cfg: Config, deploy: bool) -> None:
    configured = remove_hooks(cfg, SwitchToDeployHook.__name__)
    if deploy:
        hook = configured[0] if configured else ConfigDict(type=SwitchToDeployHook.__name__)
        cfg.custom_hooks.append(hook)


def _set_show_dir(cfg: Config, folder: str) -> None:
    if Path(folder).is_absolute():  # a relative folder is inside work_dir
        check_writable(Path(folder), "--show-dir", "--show-dir FOLDER")
    hooks = remove_hooks(cfg, DetVisualizationHook.__name__)
    hook = hooks[0] if hooks else ConfigDict(type=DetVisualizationHook.__name__)
    cfg.custom_hooks.append(ConfigDict(hook, draw=True, test_out_dir=folder))
    if not cfg.get("visualizer"):
        # MMEngine's default visualizer doesn't draw detections.
        cfg.visualizer = ConfigDict(type=DetLocalVisualizer.__name__, name="visualizer")


def _set_tta(cfg: Config) -> None:
    for key in ("tta_model", "tta_pipeline"):
        if key not in cfg:
            raise UserError(
                f"--tta: {cfg.filename} has no {key}; add one, as in {configs_folder()}/_base_"
            )
    kind = type_name(cfg.tta_model)
    if kind == DetTTAModel.__name__ and "mask_head" in cfg.model.get("roi_head", {}):
        raise UserError(
            f"--tta: {cfg.filename} predicts masks, but its tta_model is a DetTTAModel, which "
            f"can't merge masks; set tta_model.type={MaskTTAModel.__name__}"
        )
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in leaf_datasets(cfg.test_dataloader):
        dataset.pipeline = cfg.tta_pipeline
