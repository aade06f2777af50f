"""What validation does otherwise than detection."""

import copy

import pytest


def test_another_pipeline_in_validation(small):
    small.cfg.test_dataloader = copy.deepcopy(small.cfg.val_dataloader)
    small.cfg.test_dataloader.dataset.pipeline.append(dict(type="LoadAnnotations"))
    assert small.check() == []
    small.cfg.test_dataloader.dataset.pipeline.append(dict(type="Resize", scale=(20, 20)))
    message = small.the_one("warning", "pipeline-differs")
    assert "which detection uses (nothing instead of Resize)" in message


def test_steps_of_the_same_name_are_told_apart(small):
    pipeline = small.dataset("val").pipeline
    pipeline.append(dict(type="Resize", scale=(40, 30)))
    small.cfg.test_dataloader = copy.deepcopy(small.cfg.val_dataloader)
    small.cfg.test_dataloader.dataset.pipeline[-1].scale = (20, 20)
    message = small.the_one("warning", "pipeline-differs")
    assert "(Resize(scale=(40, 30)) instead of Resize(scale=(20, 20)))" in message


def test_keys_that_change_no_pixel_make_no_difference(small):
    small.cfg.test_dataloader = copy.deepcopy(small.cfg.val_dataloader)
    for loader, keys in ((small.cfg.val_dataloader, ()), (small.cfg.test_dataloader, ("img_id",))):
        loader.dataset.pipeline.append(dict(type="PackDetInputs", meta_keys=keys))
    small.dataset("val").pipeline[0].backend_args = None
    assert small.check() == []


@pytest.mark.parametrize("key", ["model.test_cfg", "model.test_cfg.rcnn"])
def test_a_score_threshold_that_lowers_ap(small, key):
    small.cfg.merge_from_dict({f"{key}.score_thr": 0.05})
    assert small.check() == []
    small.cfg.merge_from_dict({f"{key}.score_thr": 0.3})
    assert f"{key}.score_thr is 0.3" in small.the_one("warning", "score-threshold")
