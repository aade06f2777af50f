"""Writes the report of a training run and its detections as a single HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import jinja2
import numpy as np

from ..errors import UserError
from ..fileio import atomic_write
from .advice import advise
from .charts import WIDTH, curve_panels, precision_recall_panel, svg
from .coco_eval import prepare_detections, prepare_truth
from .curves import Curves
from .gallery import class_label, draw_matches
from .matches import ImageMatches, confuse, match, rank
from .metrics import ClassMetrics, Metrics, compute_metrics

_MAX_CURVES = 10  # classes with a precision-recall curve
_MAX_MATRIX = 20  # classes in the confusion matrix; with more, only the top pairs are listed
_MAX_PAIRS = 20
_MAX_IMAGES = 8  # in each gallery


@dataclass(frozen=True)
class Summary:
    """What a report says.

    Attributes:
        ap: COCO's box AP at IoU 0.50:0.95; None if there are no instances.
        mask_ap: Mask AP; None if there are no masks.
        class_scores: Score threshold with the highest F1 of each class, by its name.
        advice: What to do next.
    """

    ap: Optional[float]
    mask_ap: Optional[float]
    class_scores: dict[str, float]
    advice: list[str]


def write_report(
    path: Union[str, Path],
    title: str,
    truth: dict,
    detections: Sequence[dict],
    root: Union[str, Path],
    curves: Mapping[str, Curves],
    facts: Sequence[tuple[str, str]],
    score: Optional[float] = None,
    input_size: Optional[tuple[int, int]] = None,
    longer: str = "",
) -> Summary:
    """Write a report as a single, self-contained HTML file.

    Args:
        path: The file, which is replaced atomically.
        title: Title of the report.
        truth: Ground truth, as the content of a COCO file.
        detections: COCO results: `image_id`, `category_id`, `bbox` as x, y, width, height in
            pixels, `score`, and `segmentation` for mask AP.
        root: Image folder that the file names in `truth` are relative to.
        curves: Curves of this run, followed by those of the runs to compare with, by name.
        facts: Names and values to show in the header, such as model, dataset and checkpoint.
        score: Score threshold for precision, recall, confusion and images; if None, the threshold
            with the highest F1 over all classes is used.
        input_size: Longer and shorter side in pixels that images are resized to, for the advice.
        longer: Options that continue the training, for the advice.

    Returns:
        What the report says.

    Raises:
        UserError: The detections don't match the ground truth, or the file can't be written.
    """
    truth = prepare_truth(truth)
    metrics = compute_metrics(truth, prepare_detections(truth, detections), score)
    images = match(metrics.boxes, truth["images"], metrics.score)
    own = next(iter(curves.values()), Curves())
    advice = advise(metrics, images, own, input_size, longer)
    text = _render(
        title, truth, len(detections), Path(root), curves, facts, metrics, images, advice
    )
    try:
        with atomic_write(path) as file:
            # File names may contain bytes that aren't UTF-8.
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error
    return Summary(metrics.ap, metrics.mask_ap, metrics.class_scores, advice)


def _render(
    title: str,
    truth: dict,
    detections: int,
    root: Path,
    curves: Mapping[str, Curves],
    facts: Sequence[tuple[str, str]],
    metrics: Metrics,
    images: Sequence[ImageMatches],
    advice: Sequence[str],
) -> str:
    confusion = confuse(images, truth["categories"])
    names = {c["id"]: (k, str(c["name"])) for k, c in enumerate(truth["categories"], 1)}
    worst, best = rank(images, _MAX_IMAGES)
    masks = metrics.mask_ap is not None
    return template("report.html.jinja").render(
        title=title,
        facts=facts,
        metrics=metrics,
        counts={
            "images": len(truth["images"]),
            "instances": sum(c.instances for c in metrics.classes),
            "detections": detections,
        },
        advice=advice,
        charts=draw_charts(curves),
        precision_recall=_precision_recall(metrics.classes),
        width=WIDTH,
        confusion=confusion if len(names) <= _MAX_MATRIX else None,
        pairs=confusion.most_confused(_MAX_PAIRS),
        galleries={
            "Worst images": [draw_matches(image, root, names, masks) for image in worst],
            "Best images": [draw_matches(image, root, names, masks) for image in best],
        },
    )


def template(name: str) -> jinja2.Template:
    """Return a template of this folder by its file name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template(name)


def _number(value: Optional[float], digits: int = 3) -> str:
    return "\u2013" if value is None else f"{value:.{digits}f}"


def draw_charts(curves: Mapping[str, Curves]) -> dict[str, str]:
    """Draw the curves of runs as SVG images, by the name of the panel.

    Args:
        curves: Curves of a run, followed by those of the runs to compare with, by name.
    """
    if not any(curves.values()):
        return {}
    runs: Mapping[str, Curves] = curves
    if len(curves) == 1:
        runs = {"": next(iter(curves.values()))}
    return {name: svg(panel) for name, panel in curve_panels(runs).items()}


def _precision_recall(classes: Sequence[ClassMetrics]) -> Optional[str]:
    drawable: list[Any] = [c for c in classes if c.curve is not None]
    if not drawable:
        return None
    # The classes with the most instances are drawn, in the order of the table.
    chosen = sorted(drawable, key=lambda c: -c.instances)[:_MAX_CURVES]
    named = {class_label(c.number, c.name): c.curve for c in drawable if c in chosen}
    others = [c.curve for c in drawable if c not in chosen]
    mean = np.mean(others, axis=0) if others else None
    return svg(precision_recall_panel(named, mean, len(others)))
