"""Parameters, FLOPs and training cost of models, and the published figures."""

from .complexity import Complexity, Cost, count_complexity

__all__ = ["Complexity", "Cost", "count_complexity"]
