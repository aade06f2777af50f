# RTMDet-Ins' recipe for COCO: that of RTMDet, with masks.
_base_ = "coco_mosaic_300e.py"

changes = dict(
    LoadAnnotations=dict(with_mask=True, poly2mask=False),
    RandomCrop=dict(recompute_bbox=True, allow_negative_crop=True),
)
train_pipeline, plain_pipeline = (
    [
        *(dict(step, **changes.get(step["type"], {})) for step in steps[:-1]),
        dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1)),
        steps[-1],
    ]
    for steps in (_base_.train_pipeline, _base_.default_hooks.plain_images.switch_pipeline)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(plain_images=dict(switch_pipeline=plain_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator

del changes, plain_pipeline  # setting them would change nothing
