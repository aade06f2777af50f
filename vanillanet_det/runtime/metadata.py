"""Metadata of exported files: JSON in the same format for ONNX and OpenVINO files."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, ClassVar, Optional

from ..errors import UserError
from ..installation import command
from .tiles import Tiles

KEY = "vanillanet_det"
FORMAT_VERSION = 2  # with tiles, or masks of the whole input, which version 1 would misread
KINDS = ("detector", "backbone")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class Resize:
    """How images are resized before they enter the network.

    Attributes:
        scale: With `keep_ratio`, the limits of the longer and the shorter side, in any order;
            otherwise width and height.
        keep_ratio: Whether the aspect ratio is kept.
    """

    scale: tuple[int, int]
    keep_ratio: bool = True


@dataclass(frozen=True)
class Metadata:
    """Everything needed to run an exported file.

    Attributes:
        kind: `detector` or `backbone`.
        model: Name of the config.
        precision: Precision of weights and computation: `fp32`, `bf16`, `fp16` or `int8`.
        classes: Class names.
        score_threshold: Score threshold that the file itself applies.
        class_scores: Score threshold of each class for the returned detections; () for 0.3.
        nms_inside: Whether the graph includes NMS.
        iou_threshold: IoU threshold of NMS.
        max_detections: Maximum number of detections in an image.
        mask_threshold: Minimum probability of a pixel that belongs to an object; None if there are
            no masks.
        mask_stride: Pixels of the input between two values of a mask; then, masks cover the whole
            input, as logits. None if they are probabilities in the boxes.
        tiles: How large images are cut before they are resized; None if they aren't.
        resize: How images are resized; None if they aren't.
        input_size: Fixed height and width of the input; None for any size.
        batch_size: Fixed number of images in a batch; None for any number.
        padding: Colour of the padding up to a fixed size: blue, green and red, from 0 to 255.
        centered: Whether the padding is on all sides; else, it is on the right and at the bottom.
        crops_masks: Whether masks end at their boxes.
        opset: ONNX opset; None for other files.
        versions: Versions of the packages that exported the file.
        format_version: Version of this format.
    """

    kind: str
    model: str
    precision: str
    classes: tuple[str, ...] = ()
    score_threshold: float = 0.0
    class_scores: tuple[float, ...] = ()
    nms_inside: bool = True
    iou_threshold: Optional[float] = None
    max_detections: Optional[int] = None
    mask_threshold: Optional[float] = None
    mask_stride: Optional[int] = None
    tiles: Optional[Tiles] = None
    resize: Optional[Resize] = None
    input_size: Optional[tuple[int, int]] = None
    batch_size: Optional[int] = None
    padding: tuple[float, float, float] = (0, 0, 0)
    centered: ClassVar[bool] = False
    crops_masks: ClassVar[bool] = False
    opset: Optional[int] = None
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = 1

    def to_json(self) -> str:
        """Serialize to JSON on a single line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Parse and validate metadata.

        Raises:
            UserError: The text isn't valid JSON, has a newer format version or contains an invalid
                value.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"its metadata is not valid JSON ({error}); {_EXPORT_AGAIN}") from error
        if not isinstance(values, dict):
            raise UserError(f"its metadata is not a JSON object; {_EXPORT_AGAIN}")
        version = values.get("format_version")
        if _is_count(version) and version > FORMAT_VERSION:
            raise UserError(
                f"its format_version is {version} but this vanillanet_det reads {FORMAT_VERSION} "
                "at most; upgrade vanillanet_det, or export the file again with this version"
            )
        required = [*_ALWAYS, *(_FOR_DETECTORS if values.get("kind") == "detector" else ())]
        for name, (is_valid, expected) in _EXPECTED.items():
            value = values.get(name)
            if not (is_valid(value) or (value is None and name not in required)):
                raise UserError(
                    f"its metadata has {name} {value!r}; expected {expected}; {_EXPORT_AGAIN}"
                )
        # Entries that this version doesn't know, or that are null, are ignored.
        known = {name: values[name] for name in _EXPECTED if values.get(name) is not None}
        for name in {"classes", "class_scores", "padding", "input_size"} & set(known):
            known[name] = tuple(known[name])
        if "resize" in known:
            resize = known["resize"]
            known["resize"] = Resize(tuple(resize["scale"]), resize["keep_ratio"])
        if "tiles" in known:
            tiles = known["tiles"]
            known["tiles"] = Tiles(tuple(tiles["size"]), tiles["overlap"])
        classes, scores = (known.get(name, ()) for name in ("classes", "class_scores"))
        if scores and len(scores) != len(classes):
            raise UserError(
                f"its metadata has {len(scores)} class_scores for {len(classes)} classes; "
                f"{_EXPORT_AGAIN}"
            )
        return cls(**known)


_EXPORT_AGAIN = f"export it again with {command('export')}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_fraction(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_list(value: Any, length: int, is_valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(is_valid, value))


def _is_size(value: Any) -> bool:
    return _is_list(value, 2, _is_count)


def _is_resize(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_size(value.get("scale"))
        and isinstance(value.get("keep_ratio"), bool)
    )


def is_tiles(value: Any) -> bool:
    """Return whether a value describes `Tiles`: a dict of size, a list, and overlap."""
    return (
        isinstance(value, dict)
        and _is_size(value.get("size"))
        and is_fraction(value.get("overlap"))
        and value["overlap"] < 1
    )


def _is_colour(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 255


def _are_fractions(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_fraction, value))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_ALWAYS = ("format_version", "kind", "model", "precision")
_FOR_DETECTORS = ("classes", "score_threshold", "nms_inside", "iou_threshold", "max_detections")
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format_version": (_is_count, "a positive number"),
    "kind": (KINDS.__contains__, " or ".join(KINDS)),
    "model": (lambda value: isinstance(value, str), "a name"),
    "precision": (PRECISIONS.__contains__, " or ".join(PRECISIONS)),
    "classes": (_are_names, "a list of names"),
    "score_threshold": (is_fraction, "a number from 0 to 1"),
    "class_scores": (_are_fractions, "a list of numbers from 0 to 1"),
    "nms_inside": (lambda value: isinstance(value, bool), "true or false"),
    "iou_threshold": (is_fraction, "a number from 0 to 1"),
    "max_detections": (_is_count, "a positive number"),
    "mask_threshold": (is_fraction, "a number from 0 to 1, or null"),
    "mask_stride": (_is_count, "a positive number, or null"),
    "tiles": (is_tiles, "size, two positive numbers, and overlap, or null"),
    "resize": (_is_resize, "scale, two positive numbers, and keep_ratio, or null"),
    "input_size": (_is_size, "height and width, or null"),
    "batch_size": (_is_count, "a positive number, or null"),
    "padding": (lambda value: _is_list(value, 3, _is_colour), "three numbers from 0 to 255"),
    "opset": (_is_count, "a positive number, or null"),
    "versions": (lambda value: isinstance(value, dict), "names and versions"),
}
