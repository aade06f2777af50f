"""Checks of a config and its data, used by `vanillanet-det check-data`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Optional

import torch
from mmengine.device import get_device

from ..checks import Findings, check_config, errors_in, report, warnings_in
from ..embeddings.extractor import load_extractor
from ..embeddings.near_duplicates import check_near_duplicates
from ..engine.config import config_errors, read_config
from ..errors import prefix_errors


def check_data(
    config: str,
    images: bool = True,
    as_json: bool = False,
    near_duplicates: Optional[str] = None,
    cfg_options: Sequence[str] = (),
) -> tuple[str, bool]:
    """Check a config, its datasets and its weights.

    Args:
        config: The config file.
        images: Also decode all images.
        as_json: Return JSON instead of text.
        near_duplicates: Network that compares evaluation with training images, as for
            `load_extractor`; None to compare only their bytes.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        The text to print, and True if there are no errors.

    Raises:
        UserError: The config file is missing or invalid, an option doesn't match the config, or
            there is no such network.
    """
    cfg = read_config(config, cfg_options)
    extractor = None
    if near_duplicates is not None:
        with prefix_errors("--near-duplicates"):
            extractor = load_extractor(near_duplicates, torch.device(get_device()))
    with config_errors(cfg):
        findings = check_config(cfg, images)
    if extractor is not None:
        findings += check_near_duplicates(findings.paths, extractor)
    text = _json(config, findings) if as_json else _text(config, findings)
    return text, not errors_in(findings)


def _json(config: str, findings: Findings) -> str:
    entries = [asdict(finding) for finding in findings]
    return json.dumps(dict(config=str(config), findings=entries, files=findings.counts), indent=2)


def _text(config: str, findings: Findings) -> str:
    files = [
        f"{file}: {count['images']:,} images, {count['annotations']:,} annotations, "
        f"{count['classes']:,} categories"
        for file, count in findings.counts.items()
    ]
    images, annotations = (
        sum(count[name] for count in findings.counts.values()) for name in ("images", "annotations")
    )
    errors, warnings = len(errors_in(findings)), len(warnings_in(findings))
    summary = (
        f"{config}: {errors} errors, {warnings} warnings; {images:,} images, "
        f"{annotations:,} annotations, {findings.num_classes or 0:,} classes"
    )
    return "\n".join(filter(None, [report(findings), *files, summary]))
