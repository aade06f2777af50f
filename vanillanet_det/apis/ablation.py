"""The paper's ablations in small, used by `vanillanet-det ablation`."""

from collections.abc import Sequence
from pathlib import Path

from ..engine.messages import print_message
from ..errors import UserError
from ..pretraining.ablation import check_options, train_all, write_report


def ablation(out: str, seeds: int = 3, jobs: int = 2, options: Sequence[str] = ()) -> None:
    """Train small networks with and without VanillaNet's ideas, and write a table and a plot.

    What an earlier call has trained is kept, and what it has begun is finished.

    Args:
        out: Folder of the runs, of `ablation.md` and of `ablation.png`.
        seeds: Runs of each network.
        jobs: Runs at a time.
        options: Further options of `pretrain` for all of them.

    Raises:
        UserError: A run failed, or a number is not positive.
    """
    for flag, value in (("seeds", seeds), ("jobs", jobs)):
        if value < 1:
            raise UserError(f"--{flag} {value}: expected a positive integer")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    check_options(folder, options)
    train_all(folder, seeds, jobs, options)
    print_message(write_report(folder, seeds, options))
    print_message(f"Table: {folder / 'ablation.md'}\nPlot: {folder / 'ablation.png'}")
