"""The evaluator reads the annotation file of the dataset that it evaluates."""

import pytest


def test_another_file_is_an_error(small):
    small.cfg.val_evaluator.ann_file = str(small.root / "train.json")
    message = small.the_one("error", "evaluator-file")
    assert message == (
        f"val_evaluator.ann_file: {small.root}/train.json differs from the file of "
        f"val_dataloader, {small.root}/val.json; set val_evaluator.ann_file={small.root}/val.json, "
        "the file of val_dataloader"
    )


def test_a_missing_file_is_an_error(small):
    small.cfg.val_evaluator = [dict(type="FasterCocoMetric", ann_file="no.json")]
    assert "val_evaluator.ann_file: no.json is missing" in small.the_one("error", "evaluator-file")


@pytest.mark.parametrize("form", ["copy", "link", "none", "other"])
def test_the_same_content_passes(small, form):
    small.check()
    other = small.root / "other.json"
    if form == "copy":
        other.write_bytes((small.root / "val.json").read_bytes())
    elif form == "link":
        other.symlink_to("val.json")
    small.cfg.val_evaluator.ann_file = None if form == "none" else str(other)
    if form == "other":
        small.cfg.val_evaluator.type = "DumpDetResults"
    assert small.check() == []
