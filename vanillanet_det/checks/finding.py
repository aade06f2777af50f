"""The findings that checks report, for people and for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import UserError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """A mistake in a config or its data.

    Attributes:
        level: `error`, which stops the run, or `warning`.
        code: Short name of the mistake, such as `box-inverted`.
        message: The mistake, its first example, and the remedy.
        count: Number of occurrences.
    """

    level: str
    code: str
    message: str
    count: int = 1


def and_more(example: str, count: int) -> str:
    """Append the number of further occurrences to an example."""
    return example + (f" (and {count - 1:,} more like it)" if count > 1 else "")


def errors_in(findings: Iterable[Finding]) -> list[Finding]:
    """Select the findings that stop the run."""
    return [finding for finding in findings if finding.level == ERROR]


def warnings_in(findings: Iterable[Finding]) -> list[Finding]:
    """Select the findings that don't stop the run."""
    return [finding for finding in findings if finding.level == WARNING]


def report(findings: Sequence[Finding]) -> str:
    """Format findings as text, one per line and errors first."""
    ordered = [*errors_in(findings), *warnings_in(findings)]
    return "\n".join(f"{each.level}: {each.message} [{each.code}]" for each in ordered)


def stop_at_errors(findings: Iterable[Finding]) -> None:
    """Raise an error if any finding is an error.

    Raises:
        UserError: There are errors; the message lists all of them.
    """
    messages = [finding.message for finding in errors_in(findings)]
    if len(messages) == 1:
        raise UserError(messages[0])
    if messages:
        listed = "\n".join(f"- {message}" for message in messages)
        raise UserError(f"{len(messages)} errors in the config and its data:\n{listed}")
