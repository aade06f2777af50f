"""Missing segmentations are reported only where masks are loaded or evaluated."""

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

LOAD = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)


@pytest.fixture
def masks(small):
    """The dataset with outlines and a pipeline that loads them."""
    for content in small.contents.values():
        for annotation in content["annotations"]:
            x, y, w, h = annotation["bbox"]
            annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    small.dataset("train").pipeline.append(LOAD)
    assert small.check() == []
    return small


def fails(small, split="train"):
    """Tell whether MMDetection's own loading of any image fails."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(small.dataset(split))
        try:
            [dataset[index] for index in range(len(dataset))]
        except KeyError as error:
            return "mask" in str(error)
    return False


@pytest.mark.parametrize(
    "changes",
    [
        dict(segmentation=None),
        dict(segmentation=[]),
        dict(segmentation=None, iscrowd=1),
        dict(segmentation=[[]]),
        dict(segmentation=None, ignore=True),
        dict(segmentation=None, category_id=9),
        dict(segmentation=None, area=0),
        dict(segmentation=None, bbox=[9, 9, 0.5, 5]),
        dict(segmentation=None, bbox=[50, 9, 5, 5]),
    ],
    ids=str,
)
def test_what_is_found_is_what_fails_to_load(masks, changes):
    masks["train"]["annotations"][1].update(changes)
    masks["train"]["categories"].append(dict(id=9, name="no class"))
    found = [f for f in masks.check() if f.code == "outline-missing"]
    assert bool(found) == fails(masks)
    if found:
        assert found[0].level == "error"
        where = f"train_dataloader: annotation file {masks.root}/train.json: annotation 117"
        assert found[0].message.startswith(f"{where} of image 11 has no segmentation;")
        assert "LoadAnnotations(with_mask=True) fails on it; add segmentations" in found[0].message


def test_images_that_are_left_out_need_no_outlines(masks):
    del masks["train"]["annotations"][0]["segmentation"]
    masks["train"]["images"][1].update(width=50, height=50)
    masks.dataset("train").filter_cfg = dict(min_size=31)
    masks.the_one("warning", "image-small", images=False)
    assert not fails(masks)


@pytest.mark.parametrize("nest", ["steps", "wrapper"])
def test_masks_that_are_loaded_further_in_are_found(masks, nest):
    del masks["train"]["annotations"][0]["segmentation"]
    if nest == "steps":
        steps = dict(type="RandomChoice", transforms=[[LOAD], [LOAD]])
        masks.dataset("train").pipeline[-1] = steps
    else:
        inner = masks.dataset("train")
        masks.cfg.train_dataloader.dataset = dict(
            type="MultiImageMixDataset", dataset=inner, pipeline=[]
        )
    masks.the_one("error", "outline-missing")
    if nest == "steps":
        assert fails(masks)


def test_boxes_alone_need_no_outlines(masks):
    del masks["train"]["annotations"][0]["segmentation"]
    masks.dataset("train").pipeline[-1] = dict(LOAD, with_mask=False)
    assert masks.check() == []
    assert not fails(masks)


def test_the_evaluation_of_masks_needs_outlines_too(masks):
    del masks["val"]["annotations"][0]["segmentation"]
    assert masks.check() == []
    masks.cfg.val_evaluator.metric = ["bbox", "segm"]
    message = masks.the_one("error", "outline-missing")
    assert "annotation 113 of image 11 has no segmentation; the evaluation of segm" in message
    masks.cfg.val_evaluator.format_only = True
    assert masks.check() == []
    masks.dataset("val").pipeline.append(LOAD)
    masks.the_one("error", "outline-missing")
    assert fails(masks, "val")
