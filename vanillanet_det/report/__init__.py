"""Training curves, and an HTML report of a training run and its detections.

Importing this package is slow because it imports matplotlib, so import it only when needed.
"""

from .charts import draw_curves
from .curves import Curves, Series, read_curves
from .html import Summary, write_report

__all__ = ["Curves", "Series", "Summary", "draw_curves", "read_curves", "write_report"]
