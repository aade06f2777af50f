"""What a reader skipped or changed, counted, with the first places where it happened."""

from typing import NamedTuple

from ...errors import UserError, some

_NAMED = 3  # places that a remark names


class Skipped(NamedTuple):
    """What isn't in a dataset although its files contain it.

    Attributes:
        images: Number of images, with or without objects.
        objects: Number of objects. The objects of skipped images aren't among them, except those
            whose images are missing.
    """

    images: int = 0
    objects: int = 0


class Remarks:
    """Collects the remarks about a dataset while it is read.

    Whatever a reader doesn't pass on is reported here, so that the images and objects in the
    files are those in the dataset and those in `skipped`.

    Args:
        skip_missing: Whether to skip images that are missing or unreadable, and entries of lists
            that refer to missing files, instead of raising an error.

    Attributes:
        skipped: Number of images and objects that were skipped.
    """

    def __init__(self, skip_missing: bool = False) -> None:
        self.skipped = Skipped()
        self._skips_missing = skip_missing
        self._counts: dict[str, int] = {}
        self._places: dict[str, dict[str, None]] = {}
        self._missing: set[str] = set()

    def add(self, text: str, place: object = "", count: int = 1) -> None:
        """Count something that was changed or assumed.

        Args:
            text: What was changed; the same text for everything that is counted together. A
                complete sentence, which ends with a full stop, is reported as it is.
            place: Where, such as the name of a file; the first ones are reported.
            count: How often it occurred in this place; nothing is reported for 0.
        """
        if not count:
            return
        self._counts[text] = self._counts.get(text, 0) + count
        if place != "":
            self._places.setdefault(text, {})[str(place)] = None

    def skip(
        self, text: str, place: object = "", count: int = 1, images: int = 0, objects: int = 0
    ) -> None:
        """Count something that was skipped, or that became part of something else.

        Args:
            text: See `add`; such as `Label files without an image, skipped`.
            place: See `add`.
            count: See `add`; the number of files, images or objects, as `text` says.
            images: Number of skipped images.
            objects: Number of skipped objects.
        """
        self.add(text, place, count)
        self.skipped = Skipped(self.skipped.images + images, self.skipped.objects + objects)

    def missing(self, text: str, place: object, images: int = 0, objects: int = 0) -> None:
        """Count something that is missing, which `stop_at_missing` reports as an error.

        Args:
            text: What is missing, such as `Images that don't exist`.
            place: See `add`.
            images: See `skip`.
            objects: See `skip`.
        """
        text = f"{text}, skipped" if self._skips_missing else text
        self._missing.add(text)
        self.skip(text, place, images=images, objects=objects)

    def stop_at_missing(self, where: object) -> None:
        """Raise an error if something is missing and may not be skipped.

        Args:
            where: The dataset, for the message.

        Raises:
            UserError: Something is missing.
        """
        if self._missing and not self._skips_missing:
            found = "; ".join(self._sentence(text)[:-1] for text in sorted(self._missing))
            raise UserError(
                f"{where}: {found}; add or replace these files, or pass --skip-missing to leave "
                "them out"
            )

    def sentences(self) -> list[str]:
        """List the remarks in the order of their first occurrence."""
        return [self._sentence(text) for text in self._counts]

    def _sentence(self, text: str) -> str:
        if text.endswith("."):
            return text
        places = some(list(self._places.get(text, ())), _NAMED)
        return f"{text}{places and f' ({places})'}: {self._counts[text]:,}."
