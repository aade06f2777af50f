"""COCO metrics, computed by faster-coco-eval if it is installed."""

from typing import Any

from mmdet.evaluation.metrics import CocoMetric, coco_metric
from mmdet.registry import METRICS
from mmengine.logging import print_log
from pycocotools.cocoeval import COCOeval

from ..errors import UserError

_BACKENDS = ("auto", "pycocotools", "faster-coco-eval")


@METRICS.register_module()
class FasterCocoMetric(CocoMetric):
    """MMDetection's CocoMetric with a choice of evaluation backend.

    faster-coco-eval is a C++ implementation of pycocotools with the same results.

    Args:
        *args: Arguments of CocoMetric.
        backend: `pycocotools`, `faster-coco-eval`, or `auto` for faster-coco-eval if it can be
            imported, else pycocotools. `use_mp_eval`, which is pycocotools in several processes,
            requires pycocotools.
        **kwargs: Arguments of CocoMetric.

    Raises:
        UserError: The backend is unknown or not installed.
    """

    def __init__(self, *args: Any, backend: str = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if backend not in _BACKENDS:
            raise UserError(
                f"FasterCocoMetric: backend {backend!r}; expected one of {', '.join(_BACKENDS)}"
            )
        if self.use_mp_eval and backend == "faster-coco-eval":
            raise UserError(
                "FasterCocoMetric: use_mp_eval=True is pycocotools in several processes, but "
                "backend is 'faster-coco-eval'; omit one of them"
            )
        chosen = "pycocotools" if self.use_mp_eval else backend
        self._evaluator, self._by = find_evaluator(chosen)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics with the backend."""
        print_log(f"COCO evaluation by {self._by}", "current")
        # CocoMetric looks the class up in its module and has no argument for it.
        original, coco_metric.COCOeval = coco_metric.COCOeval, self._evaluator
        try:
            return super().compute_metrics(results)
        finally:
            coco_metric.COCOeval = original


def find_evaluator(backend: str = "auto") -> tuple[type, str]:
    """Find the class that computes COCO's metrics.

    Args:
        backend: See FasterCocoMetric.

    Returns:
        pycocotools' COCOeval, or one with the same results, and the name of the package.

    Raises:
        UserError: `backend` is `faster-coco-eval`, and it can't be imported.
    """
    if backend != "pycocotools":
        try:
            return _make_faster_evaluator(), "faster-coco-eval"
        except (ImportError, ValueError) as error:  # ValueError: built for another NumPy
            if backend != "auto":
                raise UserError(
                    "FasterCocoMetric: backend 'faster-coco-eval' can't be imported "
                    f"({error}); pip install faster-coco-eval, or omit backend"
                ) from error
    return COCOeval, "pycocotools"


def _make_faster_evaluator() -> type:
    from faster_coco_eval import COCOeval_faster

    class FasterCOCOeval(COCOeval_faster):
        # faster-coco-eval computes AP at the last of maxDets (1000 in MMDetection), pycocotools at
        # 100, which differs if an image has more than 100 detections of a class.
        summarize = COCOeval.summarize

    return FasterCOCOeval
