"""Metadata of files that Ultralytics exports."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import UserError
from .metadata import Metadata, Resize

KEYS = ("task", "names", "imgsz", "batch", "stride", "args", "channels", "end2end", "version")
"""Names of Ultralytics' metadata in a file."""
_TASKS = ("detect", "segment")
_DEFAULTS = {"args": "{}", "batch": "1"}  # of older versions
_GREY = 114
_LEAST_SCORE = 0.001  # below which Ultralytics doesn't even evaluate
_IOU = 0.7
_MOST = 300


@dataclass(frozen=True)
class UltralyticsMetadata(Metadata):
    """Metadata of a file whose inputs and outputs are as Ultralytics has them."""

    centered: ClassVar[bool] = True
    crops_masks: ClassVar[bool] = True


def is_ultralytics(texts: Mapping[str, str]) -> bool:
    """Return whether a file's metadata is Ultralytics'."""
    return {"task", "names", "imgsz", "stride"} <= set(texts)


def ultralytics_metadata(texts: Mapping[str, str]) -> UltralyticsMetadata:
    """Translate Ultralytics' metadata, with the thresholds of its evaluation.

    Raises:
        UserError: The file isn't a detector's, or an entry can't be read.
    """
    task = texts["task"]
    if task not in _TASKS:
        raise UserError(f"is a file for the task {task!r}; expected {' or '.join(_TASKS)}")
    names, size, args = (_literal(texts, key) for key in ("names", "imgsz", "args"))
    if texts.get("channels", "3") != "3":
        raise UserError(f"takes images of {texts['channels']} channels; expected 3")
    is_pair = isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) for s in size)
    has_names = isinstance(names, dict) and sorted(map(str, names)) == sorted(
        str(index) for index in range(len(names))
    )
    if not has_names or not isinstance(args, dict) or not is_pair:
        raise UserError(
            f"its metadata has names {texts['names'][:80]}, imgsz {texts['imgsz']} and args "
            f"{texts.get('args', '')[:80]}; expected a dict of numbers and names, two numbers and "
            "a dict"
        )
    height, width = size
    return UltralyticsMetadata(
        kind="detector",
        model=f"Ultralytics {texts.get('version', '')}".strip(),
        precision="fp16" if args.get("half") or args.get("quantize") == 16 else "fp32",
        classes=tuple(str(names[index]) for index in sorted(names, key=int)),
        score_threshold=_LEAST_SCORE,
        nms_inside=bool(args.get("nms")) or texts.get("end2end") == "True",
        iou_threshold=_IOU,
        max_detections=_MOST,
        mask_threshold=0.5 if task == "segment" else None,
        mask_stride=4 if task == "segment" else None,
        resize=Resize((width, height)),
        input_size=(height, width),
        batch_size=None if args.get("dynamic") else _literal(texts, "batch"),
        padding=(_GREY, _GREY, _GREY),
    )


def _literal(texts: Mapping[str, str], key: str) -> Any:
    try:
        return ast.literal_eval(texts.get(key, _DEFAULTS.get(key, "None")))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise UserError(
            f"its metadata has {key} {texts[key][:80]!r}, which can't be read"
        ) from error
