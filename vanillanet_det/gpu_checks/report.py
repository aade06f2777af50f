"""The table and the JSON of the checks."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Optional

from ..analysis.table import markdown
from ..benchmark.report import json_text, machine_line
from ..benchmark.results import Machine, Result
from .outcome import FAILED, PASSED, SKIPPED, Outcome

_MEANING = (
    "Differences are relative to the largest value of a tensor: of features from float64 on the "
    "CPU, of losses,\ngradients, operators and scores from float32 on the CPU."
)


def text(machine: Machine, outcomes: Sequence[Outcome]) -> str:
    """Write a table with a line for each check, and how many passed.

    Args:
        machine: The machine.
        outcomes: How the checks ended.
    """
    lines = [
        [outcome.name, outcome.status, *_figures(outcome), f"{outcome.seconds:.1f}"]
        for outcome in outcomes
    ]
    header = ["check", "", "difference", "allowed", "s"]
    reasons = [f"- {outcome.name}: {outcome.reason}" for outcome in outcomes if outcome.reason]
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in (PASSED, FAILED, SKIPPED)
    }
    total = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    blocks = [machine_line(machine), markdown(header, lines), "\n".join(reasons), _MEANING, total]
    return "\n\n".join(filter(None, blocks))


def _figures(outcome: Outcome) -> list[str]:
    return ["" if v is None else f"{v:.1e}" for v in (outcome.figure, outcome.allowed)]


def json_report(machine: Machine, outcomes: Sequence[Outcome], result: Optional[Result]) -> str:
    """Write everything as JSON, without paths of this machine.

    Args:
        machine: The machine.
        outcomes: How the checks ended.
        result: The benchmark; None if none was run.
    """
    content = dict(
        date=date.today().isoformat(),
        machine=asdict(machine),
        checks=[asdict(outcome) for outcome in outcomes],
        benchmark=None if result is None else json.loads(json_text(result)),
    )
    return json.dumps(content, indent=2) + "\n"
