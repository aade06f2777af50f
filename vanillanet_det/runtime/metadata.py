"""What an exported file says of itself: one JSON text, in ONNX as in OpenVINO files."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Optional

from ..errors import UserError

KEY = "vanillanet_det"
FORMAT_VERSION = 1
KINDS = ("detector", "backbone")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class Resize:
    """What happens to a picture's size before the network.

    Attributes:
        scale: With `keep_ratio` the limits of the longer and of the shorter side, in any order;
            otherwise width and height.
        keep_ratio: Whether both sides are scaled alike.
    """

    scale: tuple[int, int]
    keep_ratio: bool = True


@dataclass(frozen=True)
class Metadata:
    """What is needed to use an exported file.

    Attributes:
        kind: `detector` or `backbone`.
        model: Name of the config.
        precision: Of the weights and of what is computed: `fp32`, `bf16`, `fp16` or `int8`.
        classes: Names of the classes.
        score_threshold: The least score that the file's own selection lets through.
        nms_inside: Whether the graph suppresses overlapping boxes itself.
        iou_threshold: Of boxes of one class, one of which is suppressed above it.
        max_detections: The largest number in an image.
        mask_threshold: The probability from which a pixel belongs to an object; None: no masks.
        resize: None for a picture as it is.
        input_size: Height and width that the file is fixed to; None for any.
        batch_size: Images that the file is fixed to; None for any number.
        padding: Blue, green and red, from 0 to 255, of what fills up a fixed size.
        opset: Of an ONNX file.
        versions: Of the packages that made it.
        format_version: Of this description.
    """

    kind: str
    model: str
    precision: str
    classes: tuple[str, ...] = ()
    score_threshold: float = 0.0
    nms_inside: bool = True
    iou_threshold: Optional[float] = None
    max_detections: Optional[int] = None
    mask_threshold: Optional[float] = None
    resize: Optional[Resize] = None
    input_size: Optional[tuple[int, int]] = None
    batch_size: Optional[int] = None
    padding: tuple[float, float, float] = (0, 0, 0)
    opset: Optional[int] = None
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Write it as JSON, in which there is no line break."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Read and check it.

        Raises:
            UserError: It is no such text, of a newer format, or a value of it makes no sense.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"its metadata is no JSON ({error}); {_EXPORT_AGAIN}") from error
        if not isinstance(values, dict):
            raise UserError(f"its metadata is no JSON object; {_EXPORT_AGAIN}")
        version = values.get("format_version")
        if _is_count(version) and version > FORMAT_VERSION:
            raise UserError(
                f"its format_version is {version} but this vanillanet_det reads {FORMAT_VERSION} "
                "at most; install a newer vanillanet_det, or export the file with this one"
            )
        needed = [*_ALWAYS, *(_OF_DETECTORS if values.get("kind") == "detector" else ())]
        for name, (is_right, expected) in _EXPECTED.items():
            value = values.get(name)
            if not (is_right(value) or (value is None and name not in needed)):
                raise UserError(
                    f"its metadata has {name} {value!r} but expected {expected}; {_EXPORT_AGAIN}"
                )
        # What a later version adds without need is left out, as is what isn't known.
        known = {name: values[name] for name in _EXPECTED if values.get(name) is not None}
        for name in {"classes", "padding", "input_size"} & set(known):
            known[name] = tuple(known[name])
        if "resize" in known:
            resize = known["resize"]
            known["resize"] = Resize(tuple(resize["scale"]), resize["keep_ratio"])
        return cls(**known)


_EXPORT_AGAIN = "export it again with tools/export.py"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_list(value: Any, length: int, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(is_right, value))


def _is_size(value: Any) -> bool:
    return _is_list(value, 2, _is_count)


def _is_resize(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_size(value.get("scale"))
        and isinstance(value.get("keep_ratio"), bool)
    )


def _is_colour(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 255


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_ALWAYS = ("format_version", "kind", "model", "precision")
_OF_DETECTORS = ("classes", "score_threshold", "nms_inside", "iou_threshold", "max_detections")
_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format_version": (_is_count, "a positive number"),
    "kind": (KINDS.__contains__, " or ".join(KINDS)),
    "model": (lambda value: isinstance(value, str), "a name"),
    "precision": (PRECISIONS.__contains__, " or ".join(PRECISIONS)),
    "classes": (_are_names, "a list of names"),
    "score_threshold": (_is_share, "a number from 0 to 1"),
    "nms_inside": (lambda value: isinstance(value, bool), "true or false"),
    "iou_threshold": (_is_share, "a number from 0 to 1"),
    "max_detections": (_is_count, "a positive number"),
    "mask_threshold": (_is_share, "a number from 0 to 1, or null"),
    "resize": (_is_resize, "scale, two positive numbers, and keep_ratio, or null"),
    "input_size": (_is_size, "height and width, or null"),
    "batch_size": (_is_count, "a positive number, or null"),
    "padding": (lambda value: _is_list(value, 3, _is_colour), "three numbers from 0 to 255"),
    "opset": (_is_count, "a positive number, or null"),
    "versions": (lambda value: isinstance(value, dict), "names and versions"),
}
