"""Mistakes in a config and its data, as `tools/check_data.py` prints them."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from ..checks import Inspection, errors_in, inspect_config, report, warnings_in
from ..engine.config import config_errors, read_config


def check_data(
    config: str,
    pictures: bool = True,
    as_json: bool = False,
    cfg_options: Sequence[str] = (),
) -> tuple[str, bool]:
    """Check a config, its data sets and its weights.

    Args:
        config: The config file.
        pictures: Decode all images, too.
        as_json: Write JSON instead of text.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        The text to print, and whether there are no errors.

    Raises:
        UserError: No config, not a config, or options that don't fit.
    """
    cfg = read_config(config, cfg_options)
    with config_errors(cfg):
        seen = inspect_config(cfg, pictures)
    text = _json(config, seen) if as_json else _text(config, seen)
    return text, not errors_in(seen.findings)


def _json(config: str, seen: Inspection) -> str:
    findings = [asdict(finding) for finding in seen.findings]
    return json.dumps(dict(config=str(config), findings=findings, files=seen.counts), indent=2)


def _text(config: str, seen: Inspection) -> str:
    files = [
        f"{file}: {count['images']:,} images, {count['annotations']:,} annotations, "
        f"{count['classes']:,} categories"
        for file, count in seen.counts.items()
    ]
    totals = {
        name: sum(count[name] for count in seen.counts.values())
        for name in ("images", "annotations")
    }
    classes = len(seen.labels[0].classes) if seen.labels else 0
    errors, warnings = len(errors_in(seen.findings)), len(warnings_in(seen.findings))
    summary = (
        f"{config}: {errors} errors, {warnings} warnings; {totals['images']:,} images, "
        f"{totals['annotations']:,} annotations, {classes:,} classes"
    )
    return "\n".join(filter(None, [report(seen.findings), *files, summary]))
