"""What a check finds, told to people and to programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import UserError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """Something in a config or its data that would go wrong.

    Attributes:
        level: `error`, which stops a run, or `warning`.
        code: Short name of the kind, such as `box-inverted`.
        message: What it is, the first example of it, and the remedy.
        count: How many there are.
    """

    level: str
    code: str
    message: str
    count: int = 1


def first_of(first: str, count: int) -> str:
    """Say a first example, and how many more there are."""
    return first + (f" (and {count - 1:,} more like it)" if count > 1 else "")


def some(names: Iterable[object], most: int = 5) -> str:
    """List the first few names."""
    names = list(map(str, names))
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def errors_in(findings: Iterable[Finding]) -> list[Finding]:
    """Select what stops a run."""
    return [finding for finding in findings if finding.level == ERROR]


def warnings_in(findings: Iterable[Finding]) -> list[Finding]:
    """Select what doesn't stop a run."""
    return [finding for finding in findings if finding.level == WARNING]


def report(findings: Sequence[Finding]) -> str:
    """Write findings down, errors first, a line or more for each."""
    ordered = [*errors_in(findings), *warnings_in(findings)]
    return "\n".join(f"{each.level}: {each.message} [{each.code}]" for each in ordered)


def stop_at_errors(findings: Iterable[Finding]) -> None:
    """Stop a run that can't go well.

    Raises:
        UserError: There are errors; its message lists all of them.
    """
    messages = [finding.message for finding in errors_in(findings)]
    if len(messages) == 1:
        raise UserError(messages[0])
    if messages:
        listed = "\n".join(f"- {message}" for message in messages)
        raise UserError(f"{len(messages)} errors in the config and its data:\n{listed}")
