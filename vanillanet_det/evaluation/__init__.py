"""Metrics, registered with MMDetection's `METRICS`."""

from .accuracy import Accuracy
from .coco_metric import FasterCocoMetric

__all__ = ["Accuracy", "FasterCocoMetric"]
