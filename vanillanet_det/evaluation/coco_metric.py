"""COCO metrics, which are computed by faster-coco-eval if it is installed."""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from mmdet.evaluation.metrics import CocoMetric, coco_metric
from mmdet.registry import METRICS
from mmengine.logging import print_log
from pycocotools.cocoeval import COCOeval

from ..errors import UserError
from .max_dets import EnoughDetections

_BACKENDS = ("auto", "pycocotools", "faster-coco-eval")


@METRICS.register_module()
class FasterCocoMetric(CocoMetric):
    """MMDetection's CocoMetric with a choice of evaluation backend.

    faster-coco-eval is a C++ implementation of pycocotools with the same results. For images with
    more than 100 objects of a class, AP counts more detections than COCO's 100; see `max_dets`.

    Args:
        *args: Arguments of CocoMetric.
        backend: `pycocotools`, `faster-coco-eval`, or `auto`, which uses faster-coco-eval if it can
            be imported, else pycocotools. With `use_mp_eval`, pycocotools runs in several
            processes, so it can't be combined with `faster-coco-eval`.
        **kwargs: Arguments of CocoMetric.

    Raises:
        UserError: The backend is unknown or not installed.
    """

    def __init__(self, *args: Any, backend: str = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if backend not in _BACKENDS:
            raise UserError(
                f"FasterCocoMetric: backend is {backend!r}, expected one of {', '.join(_BACKENDS)}"
            )
        if self.use_mp_eval and backend == "faster-coco-eval":
            raise UserError(
                "FasterCocoMetric: use_mp_eval=True runs pycocotools in several processes, but "
                "backend is 'faster-coco-eval'; remove one of the two settings"
            )
        chosen = "pycocotools" if self.use_mp_eval else backend
        self._evaluator, self._by = find_evaluator(chosen)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics with the selected backend."""
        print_log(f"COCO evaluation by {self._by}", "current")
        # CocoMetric has no argument for this class, and looks it up in its module.
        original, coco_metric.COCOeval = coco_metric.COCOeval, self._evaluator
        try:
            with redirect_stdout(StringIO()) as printed:
                return super().compute_metrics(results)
        finally:
            coco_metric.COCOeval = original
            print_log(printed.getvalue(), "current")


def find_evaluator(backend: str = "auto") -> tuple[type, str]:
    """Return the class that computes COCO metrics.

    Args:
        backend: See FasterCocoMetric.

    Returns:
        pycocotools' COCOeval or an equivalent class, and the name of its package.

    Raises:
        UserError: `backend` is `faster-coco-eval`, but the package can't be imported.
    """
    if backend != "pycocotools":
        try:
            return _make_faster_evaluator(), "faster-coco-eval"
        except (ImportError, ValueError) as error:  # ValueError: it was built for another NumPy
            if backend != "auto":
                raise UserError(
                    "FasterCocoMetric: backend 'faster-coco-eval' can't be imported "
                    f"({error}); run pip install faster-coco-eval, or remove backend"
                ) from error
    return _COCOeval, "pycocotools"


class _COCOeval(EnoughDetections, COCOeval):
    """pycocotools' COCOeval."""


def _make_faster_evaluator() -> type:
    from faster_coco_eval import COCOeval_faster

    class Summarizing(COCOeval_faster):
        # faster-coco-eval computes AP with the last value of maxDets (1000 in MMDetection), but
        # pycocotools with 100. Results differ if an image has over 100 detections of a class.
        summarize = COCOeval.summarize

    class FasterCOCOeval(EnoughDetections, Summarizing):
        pass

    return FasterCOCOeval
