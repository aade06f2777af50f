"""Recognizes formats that can't be read, and names exports that can."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Optional

from .files import holds

_LOOKED_AT = 50  # files of each kind
_JSON, _CSV, _TEXT = (".json",), (".csv",), (".txt",)


class _Other(NamedTuple):
    """A format that can't be read.

    Attributes:
        name: Name of the format.
        advice: What to do instead.
        suffixes: Extensions of the files to look at.
        content: Regular expression for the content of such a file; empty to only check its name.
        path: Regular expression for the path of such a file.
    """

    name: str
    advice: str
    suffixes: tuple[str, ...]
    content: bytes = b""
    path: str = ""

    def matches(self, file: Path) -> bool:
        """Return whether the content of a file is in the format."""
        return not self.content or holds(file, self.content)


_INSTANCES = "use the file with the instances, such as instances_train2017.json"
_VIA = "in VIA 2, choose Annotation > Export Annotations (COCO format)"
_VOTT = "in VoTT, export as Pascal VOC"
_CONVERT = (
    "convert it to COCO, for example with datumaro (datum convert -if {} -f coco -- --save-media)"
)
_TFRECORD = "export as COCO or Pascal VOC instead"

# COCO's reader would take these for its own.
_LIKE_COCO = (
    _Other(
        "Datumaro JSON",
        _CONVERT.format("datumaro"),
        _JSON,
        rb'"dm_format_version"\s*:|^\s*\{\s*"infos"\s*:',
    ),
    _Other("V7 Darwin", "in V7, export as COCO", _JSON, rb'"(schema_ref|bounding_box)"\s*:'),
)
_FORMATS = (
    *_LIKE_COCO,
    _Other("COCO panoptic", _INSTANCES, _JSON, rb'"segments_info"\s*:'),
    _Other("COCO captions", _INSTANCES, _JSON, rb'"caption"\s*:\s*"'),
    _Other("VIA (VGG Image Annotator) JSON", _VIA, _JSON, rb'"(_via_\w+|shape_attributes)"\s*:'),
    _Other("VIA (VGG Image Annotator) CSV", _VIA, _CSV, rb"region_shape_attributes"),
    _Other("VoTT", _VOTT, (".json", ".vott"), rb'"(assetMetadataVersion|assets|asset)"\s*:\s*\{'),
    _Other("VoTT CSV", _VOTT, _CSV, rb'^(\xef\xbb\xbf)?"?image"?,"?xmin"?,"?ymin"?,"?xmax"?'),
    _Other("Open Images", _CONVERT.format("open_images"), _CSV, rb"^(\xef\xbb\xbf)?ImageID,"),
    _Other(
        "Supervisely",
        "in Supervisely, run the app Export to COCO",
        _JSON,
        rb'"(geometryType|classTitle|projectType)"\s*:',
    ),
    _Other(
        "Labelbox", "convert it to COCO", (".json", ".ndjson"), rb'"(data_row|Labeled Data)"\s*:'
    ),
    _Other(
        "Cityscapes", _CONVERT.format("cityscapes"), _JSON, path=r"_gt(Fine|Coarse)_polygons\.json$"
    ),
    _Other(
        "DOTA",
        _CONVERT.format("dota"),
        _TEXT,
        rb"(?m)^imagesource:|^(-?[\d.]+ ){8}[A-Za-z][\w-]* [0-2]\s*$",
    ),
    _Other("KITTI", _CONVERT.format("kitti"), _TEXT, rb"(?m)^[A-Za-z_]+( -?[\d.]+){14,15}\s*$"),
    _Other(
        "WIDER FACE",
        _CONVERT.format("wider_face"),
        _TEXT,
        rb"^[^\r\n]+\.(jpg|jpeg|png)\r?\n\d+ *\r?\n(\d+ ){4}",
    ),
    _Other(
        "MOT",
        _CONVERT.format("mot_seq"),
        _TEXT,
        rb"^(-?[\d.]+, *){6,9}-?[\d.]+",
        r"(^|/)(gt|det)\.txt$",
    ),
    _Other("TFRecord", _TFRECORD, (".tfrecord", ".tfrecords", ".record")),
    _Other("TFRecord", _TFRECORD, ("",), path=r"\.(tf)?records?-\d+-of-\d+$"),
    _Other(
        "Parquet",
        "save the images as files with a metadata.jsonl, as in a Hugging Face image folder",
        (".parquet", ".arrow"),
    ),
    _Other(
        "a segmentation mask of Pascal VOC",
        "export boxes or polygons, for example as COCO",
        (".png",),
        path=r"(^|/)Segmentation(Class|Object)/",
    ),
)


def other_format(root: Path, files: Sequence[str]) -> Optional[str]:
    """Return a sentence on the format of files; None if it isn't one of the known others."""
    for other in _FORMATS:
        fitting = (
            file
            for file in files
            if file.lower().endswith(other.suffixes) and re.search(other.path, file)
        )
        for file in islice(fitting, _LOOKED_AT):
            if other.matches(root / file):
                return f"{root / file}: is {other.name}, which isn't supported; {other.advice}"
    return None


def is_like_coco(path: Path) -> bool:
    """Return whether a file isn't COCO's, although it has lists of the same names."""
    return any(other.matches(path) for other in _LIKE_COCO)
