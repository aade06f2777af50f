# The embedded dataset, written on first use: 160x160, no augmentation.
_base_ = "detection.py"

data_root = "data/digits/"

train_pipeline = [
    dict(type="LoadReadableImage"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadReadableImage"),
    dict(type="Resize", scale=(160, 160), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]
tta_pipeline = [
    dict(type="LoadReadableImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            # A mirrored digit is not a digit, so only the scale varies.
            [dict(type="Resize", scale=(side, side), keep_ratio=True) for side in (128, 160, 192)],
            [dict(type="RandomFlip", prob=0.0)],
            [dict(type="LoadAnnotations", with_bbox=True)],
            [dict(type="PackDetInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(
        type="DigitsDataset",
        data_root=data_root,
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        type="DigitsDataset",
        data_root=data_root,
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="val/"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val.json")
test_evaluator = val_evaluator
