"""Label Studio's JSON and JSON-MIN exports: a list of tasks; `label_studio_shapes` reads shapes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ...media import IMAGES, has_ending
from .files import holds
from .json_files import is_json_list, read_json
from .label_studio_shapes import is_shape, merge_shapes, read_shape
from .listed import Entry, ListFormat, Size, numbered
from .raw_dataset import Object
from .remarks import Remarks

_CANCELLED = "Annotations cancelled in Label Studio, skipped"
_REPEATED = "Annotations of images that have a newer one or a ground truth, skipped"
_PREDICTIONS = "Predictions of models, skipped"
_NO_SHAPES = "Results that aren't shapes (such as choices, texts and relations), skipped"
_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of uploaded files


def _is_annotation(path: Path) -> bool:
    if not is_json_list(path):
        return False
    is_full = holds(path, rb'"(annotations|completions)"\s*:') and holds(path, rb'"data"\s*:')
    return is_full or holds(path, rb'"(annotation_id|lead_time)"\s*:')


def _entries(path: Path, remarks: Remarks) -> Iterator[Entry]:
    tasks = read_json(path, list)
    for position, task in enumerate(tasks, 1):
        if not isinstance(task, dict):
            raise ValueError(f"task {position} is {task!r}, expected an object")
    if all("data" in task for task in tasks):
        annotated = [(task, task["data"], _annotations(task)) for task in tasks]
    else:
        annotated = _from_minimal(tasks)
    for position, (task, data, annotations) in enumerate(annotated, 1):
        place = f"task {task.get('id', f'number {position}')}"
        try:
            yield from _entry(task, data, annotations, place, remarks)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error


def _annotations(task: Mapping[str, Any]) -> Any:
    return task.get("annotations", task.get("completions", []))


def _from_minimal(records: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Any, list]]:
    """Convert JSON-MIN, in which each annotation of a task is a record, to tasks."""
    tasks: dict[Any, tuple[Any, Any, list]] = {}
    for position, record in enumerate(records):
        results = [
            dict(value=value)
            for values in record.values()
            if isinstance(values, list)
            for value in values
        ]
        key = str(record.get("id", f"number {position}"))
        annotation = {**record, "id": record.get("annotation_id"), "result": results}
        tasks.setdefault(key, (record, record, []))[2].append(annotation)
    return list(tasks.values())


def _entry(
    task: Mapping[str, Any], data: Any, annotations: Any, place: str, remarks: Remarks
) -> Iterator[Entry]:
    if not isinstance(data, dict):
        raise ValueError(f"its data is {data!r}, expected an object with the image")
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise ValueError("its annotations aren't a list of objects")
    image = _image(data)
    predictions = task.get("predictions")
    remarks.add(_PREDICTIONS, image, len(predictions) if isinstance(predictions, list) else 0)
    kept = []
    for annotation in annotations:
        shapes = merge_shapes(_results(annotation))
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            remarks.skip(_CANCELLED, image, objects=sum(map(is_shape, shapes)))
        else:
            kept.append((annotation, shapes))
    if not kept:
        yield Entry(image, None, place=place, has_folder=False)
        return
    chosen = max(range(len(kept)), key=lambda index: (*_rank(kept[index][0]), index))
    for index, (_, shapes) in enumerate(kept):
        if index != chosen:
            remarks.skip(_REPEATED, image, objects=sum(map(is_shape, shapes)))
    shapes = kept[chosen][1]
    remarks.add(_NO_SHAPES, image, sum(not is_shape(shape) for shape in shapes))
    yield Entry(
        image, [shape for shape in shapes if is_shape(shape)], place=place, has_folder=False
    )


def _results(annotation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        raise ValueError(f"annotation {annotation.get('id')}: its result isn't a list of objects")
    return results


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    times = (annotation.get(key) for key in ("updated_at", "created_at"))
    return annotation.get("ground_truth") is True, str(next(filter(None, times), ""))


def _image(data: Mapping[str, Any]) -> str:
    """Return the path of a task's image, whose key in `data` depends on the project."""
    paths = {key: _path(value) for key, value in data.items() if isinstance(value, str)}
    images = [key for key, path in paths.items() if has_ending(path, IMAGES)]
    key = "image" if "image" in images or not images else images[0]
    if key not in paths or (key != "image" and len(images) > 1):
        raise ValueError(
            f"its data has {len(images)} images ({', '.join(images) or ', '.join(data)}), expected "
            "exactly one, or one under the key image"
        )
    return paths[key]


def _path(url: str) -> str:
    """Return the path in a URL, such as `/data/upload/1/0a1b2c3d-a.jpg` or `s3://bucket/a.jpg`."""
    if "://" not in url and not url.startswith("/data/"):
        return url
    parts = urlsplit(url)
    if parts.path.startswith("/data/upload/"):  # the folder is the number of the project
        return unquote(parts.path).rpartition("/")[2]
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)


def _spell(name: str) -> str:
    """Undo what Label Studio does to the name of an uploaded file."""
    return re.sub(r"[^\w.-]", "", _PREFIX.sub("", name).strip().replace(" ", "_"))


def _objects(shapes: Sequence[Any], size: Size, place: str, remarks: Remarks) -> Iterator[Object]:
    yield from numbered("shape", shapes, lambda shape: read_shape(shape, size, place, remarks))


FORMAT = ListFormat(
    NAME="Label Studio",
    LAYOUT="Label Studio's JSON or JSON-MIN (*.json with a list of tasks)",
    suffix=".json",
    is_annotation=_is_annotation,
    entries=_entries,
    objects=_objects,
    spell=_spell,
)
