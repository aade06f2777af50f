# COCO 2017 with masks; images as in coco_detection.py.
_base_ = "coco_detection.py"

train_pipeline = [
    dict(step, with_mask=True) if step["type"] == "LoadAnnotations" else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
