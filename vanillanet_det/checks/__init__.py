"""Mistakes in configs and data, found before anything slow begins."""

from .datasets import DATALOADERS, leaf_datasets
from .finding import Finding, errors_in, report, stop_at_errors, warnings_in
from .inspection import Inspection, check_config, inspect_config

__all__ = [
    "DATALOADERS",
    "Finding",
    "Inspection",
    "check_config",
    "errors_in",
    "inspect_config",
    "leaf_datasets",
    "report",
    "stop_at_errors",
    "warnings_in",
]
