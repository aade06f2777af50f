"""Checks that find mistakes in configs and data before anything slow starts."""

from .config import Findings, check_config
from .datasets import DATALOADERS, leaf_datasets
from .finding import Finding, errors_in, report, stop_at_errors, warnings_in
from .images import unreadable_images
from .settings import pipeline_steps, size_key

__all__ = [
    "DATALOADERS",
    "Finding",
    "Findings",
    "check_config",
    "errors_in",
    "leaf_datasets",
    "pipeline_steps",
    "report",
    "size_key",
    "stop_at_errors",
    "unreadable_images",
    "warnings_in",
]
