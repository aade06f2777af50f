"""Metrics, registered with MMDetection's `METRICS`."""

from .coco_metric import FasterCocoMetric

__all__ = ["FasterCocoMetric"]
