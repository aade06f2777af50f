"""What a training did and what its detector finds, as pictures and as one HTML file.

Importing it imports matplotlib, so whoever needs it imports it late.
"""

from .charts import draw_curves
from .curves import Curves, Series, read_curves
from .html import write_report

__all__ = ["Curves", "Series", "draw_curves", "read_curves", "write_report"]
