"""Findings of one annotation file, collected."""

from collections.abc import Sequence
from typing import Callable

from .content import Content
from .datasets import Dataset
from .finding import Finding, first_of


class Found:
    """Collects findings of one file, each with the first example and the count."""

    def __init__(self, dataset: Dataset, content: Content) -> None:
        self.dataset, self.content = dataset, content
        self.findings: list[Finding] = []

    def add(
        self,
        level: str,
        code: str,
        places: Sequence[int],
        describe: Callable[[int], str],
        remedy: str,
    ) -> None:
        """Add a finding, unless there is no place with it."""
        if len(places):
            first = first_of(describe(int(places[0])), len(places))
            message = f"{self.dataset.where}: {first}; {remedy}"
            self.findings.append(Finding(level, code, message, len(places)))

    def name(self, place: int) -> str:
        """Name an annotation by its id and its image."""
        annotation = self.content.annotations[place]
        return f"annotation {annotation.get('id')} of image {annotation.get('image_id')}"
