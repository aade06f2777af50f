"""Checks of a config and its data, used by `vanillanet-det check-data`."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from ..checks import Findings, check_config, errors_in, report, warnings_in
from ..engine.config import config_errors, read_config


def check_data(
    config: str,
    images: bool = True,
    as_json: bool = False,
    cfg_options: Sequence[str] = (),
) -> tuple[str, bool]:
    """Check a config, its datasets and its weights.

    Args:
        config: The config file.
        images: Also decode all images.
        as_json: Return JSON instead of text.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        The text to print, and True if there are no errors.

    Raises:
        UserError: The config file is missing or invalid, or an option doesn't match the config.
    """
    cfg = read_config(config, cfg_options)
    with config_errors(cfg):
        findings = check_config(cfg, images)
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
