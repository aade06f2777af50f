"""What validation does otherwise than detection."""

import copy

import pytest


def test_another_pipeline_in_validation(small):
    small.cfg.test_dataloader = copy.deepcopy(small.cfg.val_dataloader)
    small.cfg.test_dataloader.dataset.pipeline.append(dict(type="LoadAnnotations"))
    assert small.check() == []
    small.cfg.test_dataloader.dataset.pipeline.append(dict(type="Resize", scale=(20, 20)))
    message = small.the_one("warning", "pipeline-differs")
    assert "are detected (nothing instead of Resize)" in message


@pytest.mark.parametrize("key", ["model.test_cfg", "model.test_cfg.rcnn"])
def test_a_score_threshold_that_lowers_ap(small, key):
    small.cfg.merge_from_dict({f"{key}.score_thr": 0.05})
    assert small.check() == []
    small.cfg.merge_from_dict({f"{key}.score_thr": 0.3})
    assert f"{key}.score_thr is 0.3" in small.the_one("warning", "score-threshold")
