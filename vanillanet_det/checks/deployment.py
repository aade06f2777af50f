"""Checks that what is evaluated is what is deployed."""

from collections.abc import Iterator

from mmengine.config import Config

from ..configs import type_name
from .datasets import leaf_datasets
from .finding import WARNING, Finding

_MAX_SCORE = 0.1  # MMDetection's detectors have up to 0.05
_NO_PIXELS = ("LoadAnnotations", "PackDetInputs")


def check_deployment(cfg: Config) -> Iterator[Finding]:
    """Check that validation treats images as detection does, and that no score threshold cuts AP.

    Args:
        cfg: The config.
    """
    val, test = (
        [_steps(each) for each in leaf_datasets(cfg.get(f"{part}_dataloader"))]
        for part in ("val", "test")
    )
    if val and test and val[0] != test[0]:
        ours = [step for step in val[0] if step not in test[0]]
        theirs = [step for step in test[0] if step not in val[0]]
        message = (
            "val_dataloader: the pipeline differs from that of test_dataloader, which detection "
            f"uses ({_text(ours, theirs)} instead of {_text(theirs, ours)}), so the best "
            "checkpoint may not be the best in deployment; use the same pipeline for both"
        )
        yield Finding(WARNING, "pipeline-differs", message)
    node = (cfg.get("model") or {}).get("test_cfg") or {}
    for key, each in (("model.test_cfg", node), ("model.test_cfg.rcnn", node.get("rcnn"))):
        score = each.get("score_thr") if isinstance(each, dict) else None
        if isinstance(score, (int, float)) and score > _MAX_SCORE:
            message = (
                f"{key}.score_thr is {score:g}: detections with lower scores don't count in AP, "
                "which is therefore too low; set it to 0.05, and choose a threshold for detection "
                "with --score"
            )
            yield Finding(WARNING, "score-threshold", message)


def _steps(dataset: dict) -> list[dict]:
    """List the transforms that change pixels, without the key that doesn't."""
    return [
        {key: value for key, value in step.items() if key != "backend_args"}
        for step in dataset.get("pipeline") or ()
        if isinstance(step, dict) and type_name(step) not in _NO_PIXELS
    ]


def _text(steps: list[dict], others: list[dict]) -> str:
    """List the names of transforms; those that the others have, too, with their arguments."""
    names = set(map(type_name, others))
    texts = [_call(step) if type_name(step) in names else type_name(step) for step in steps]
    return ", ".join(texts) or "nothing"


def _call(step: dict) -> str:
    arguments = [f"{key}={value!r}" for key, value in step.items() if key != "type"]
    return f"{type_name(step)}({', '.join(arguments)})"
