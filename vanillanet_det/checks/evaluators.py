"""Annotation files of the evaluation against those of the data."""

import filecmp
import os
from collections.abc import Sequence

from mmengine.config import Config

from .datasets import Dataset, is_remote
from .finding import ERROR, Finding
from .judges import evaluator_key, find_judges


def check_evaluators(cfg: Config, datasets: Sequence[Dataset]) -> list[Finding]:
    """Check that evaluators read the file of the data set that they judge.

    Args:
        cfg: The config.
        datasets: Its data sets. The evaluator of `val_dataloader` is `val_evaluator`.
    """
    findings = []
    seen = set()
    for key in dict.fromkeys(dataset.key for dataset in datasets):
        files = [dataset.ann_file for dataset in datasets if dataset.key == key]
        for judge in find_judges(cfg, key) if len(files) == 1 else ():
            file, wanted = judge.ann_file, files[0]
            # The test set is often the validation set again.
            if not file or (file, wanted) in seen:
                continue
            seen.add((file, wanted))
            name = f"{evaluator_key(key)}.ann_file"
            if is_remote(file) or is_remote(wanted) or not os.path.isfile(wanted):
                continue
            remedy = f"set {name}={wanted}, the file of {key}"
            if not os.path.isfile(file):
                message = f"{name}: {file} is missing; {remedy}"
                findings.append(Finding(ERROR, "evaluator-file", message))
            elif not os.path.samefile(file, wanted) and not filecmp.cmp(file, wanted, False):
                message = f"{name}: {file} is another file than that of {key}, {wanted}; {remedy}"
                findings.append(Finding(ERROR, "evaluator-file", message))
    return findings
