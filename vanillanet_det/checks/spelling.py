"""Checks that no class is spelt in two ways."""

from collections import defaultdict
from collections.abc import Iterator

from .annotation_file import AnnotationFile
from .classes import plain_name
from .finding import WARNING, Finding


def check_spelling(file: AnnotationFile) -> Iterator[Finding]:
    """Check that no two classes with annotations differ only in case, spaces or underscores.

    Args:
        file: The annotation file.

    Yields:
        A warning for each class with several spellings.
    """
    spellings: dict[str, dict[str, int]] = defaultdict(dict)
    for name, count in zip(file.category_names, file.category_counts.tolist()):
        if count:
            spellings[spelling(name)][name] = count
    for names in spellings.values():
        if len(names) > 1:
            listed = " and ".join(f"{name!r} ({count:,})" for name, count in names.items())
            yield Finding(
                WARNING,
                "class-spelling",
                f"{file.dataset.where}: {listed} are separate classes, which differ only in "
                "spelling; if they mean the same, use one name in the annotations",
                len(names),
            )


def spelling(name: str) -> str:
    """Return a class name without what may differ between spellings of the same class."""
    name = name.strip()
    # A dash at either end or in a name without letters isn't a separator: "A-" differs from "A".
    inside = name[:1].isalnum() and name[-1:].isalnum() and any(map(str.isalpha, name))
    return plain_name(name) if inside else name.casefold()
