"""What a model costs, counted, and the published figures to compare it with."""

from .complexity import Complexity, Cost, count_complexity

__all__ = ["Complexity", "Cost", "count_complexity"]
