"""One HTML file that says what a training did and what its detector finds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import jinja2
import numpy as np

from ..errors import UserError
from ..fileio import atomic_write
from .charts import WIDTH, curve_panels, precision_recall_panel, svg
from .coco_eval import prepare_detections, prepare_truth
from .curves import Curves
from .gallery import class_label, draw_matches
from .matches import confuse, match, rank
from .metrics import ClassMetrics, compute_metrics

_MOST_NAMED = 10  # classes with a curve of their own
_MOST_IN_MATRIX = 20  # classes; of more, only the most confused pairs are listed
_MOST_PAIRS = 20
_MOST_PICTURES = 8  # of the worst, and of the best


def write_report(
    path: Union[str, Path],
    title: str,
    truth: dict,
    detections: Sequence[dict],
    root: Union[str, Path],
    curves: Mapping[str, Curves],
    facts: Sequence[tuple[str, str]],
    score: Optional[float] = None,
) -> None:
    """Write a report as one HTML file, which needs no other file and no network.

    Args:
        path: The file to write or replace; it is either whole or not there.
        title: What the report is of.
        truth: Content of a COCO file.
        detections: COCO results: `image_id`, `category_id`, `bbox` as x, y, width, height in
            pixels, `score`, and `segmentation` if there is to be a mask AP.
        root: Folder that the file names of `truth` are relative to.
        curves: By name, those of the training and then of others that it is compared with.
        facts: Names and values for the head, such as the model, the data and the checkpoint.
        score: From which score on a detection counts in precision, recall, confusion and
            pictures; unless given, where F1 over all classes is highest.

    Raises:
        UserError: The detections are not of this truth, or the file can't be written.
    """
    text = _render(title, truth, detections, Path(root), curves, facts, score)
    try:
        with atomic_write(path) as file:
            # Names of files may hold bytes that are no UTF-8.
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error


def _render(
    title: str,
    truth: dict,
    detections: Sequence[dict],
    root: Path,
    curves: Mapping[str, Curves],
    facts: Sequence[tuple[str, str]],
    score: Optional[float],
) -> str:
    truth = prepare_truth(truth)
    figures = compute_metrics(truth, prepare_detections(truth, detections), score)
    pictures = match(figures.boxes, truth["images"], figures.score)
    confusion = confuse(pictures, truth["categories"])
    names = {c["id"]: (k, str(c["name"])) for k, c in enumerate(truth["categories"], 1)}
    worst, best = rank(pictures, _MOST_PICTURES)
    masks = figures.mask_ap is not None
    return _template().render(
        title=title,
        facts=facts,
        figures=figures,
        counts={
            "images": len(truth["images"]),
            "instances": sum(c.instances for c in figures.classes),
            "detections": len(detections),
        },
        charts=_charts(curves),
        precision_recall=_precision_recall(figures.classes),
        width=WIDTH,
        confusion=confusion if len(names) <= _MOST_IN_MATRIX else None,
        pairs=confusion.most_confused(_MOST_PAIRS),
        galleries={
            "The worst pictures": [draw_matches(p, root, names, masks) for p in worst],
            "The best pictures": [draw_matches(p, root, names, masks) for p in best],
        },
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    return environment.get_template("report.html.jinja")


def _figure(value: Optional[float], digits: int = 3) -> str:
    return "\u2013" if value is None else f"{value:.{digits}f}"


def _charts(curves: Mapping[str, Curves]) -> dict[str, str]:
    if not any(curves.values()):
        return {}
    runs: Mapping[str, Curves] = curves
    if len(curves) == 1:
        runs = {"": next(iter(curves.values()))}
    return {name: svg(panel) for name, panel in curve_panels(runs).items()}


def _precision_recall(classes: Sequence[ClassMetrics]) -> Optional[str]:
    known: list[Any] = [c for c in classes if c.curve is not None]
    if not known:
        return None
    # Those with the most instances, in the order of the table.
    chosen = sorted(known, key=lambda c: -c.instances)[:_MOST_NAMED]
    named = {class_label(c.number, c.name): c.curve for c in known if c in chosen}
    others = [c.curve for c in known if c not in chosen]
    mean = np.mean(others, axis=0) if others else None
    return svg(precision_recall_panel(named, mean, len(others)))
