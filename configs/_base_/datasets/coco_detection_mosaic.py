# COCO 2017 as for RTMDet: mosaic and mixup of 640x640, evaluation at 640x640.
_base_ = "coco_detection.py"

size = (640, 640)
pad_value = 114

load = [
    dict(type="LoadReadableImage", unreadable="skip"),
    dict(type="LoadAnnotations", with_bbox=True),
]
augment = [
    dict(type="RandomCrop", crop_size=size),
    dict(type="YOLOXHSVRandomAug"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=size, pad_val=dict(img=(pad_value,) * 3)),
]
train_pipeline = [
    *load,
    dict(type="CachedMosaic", img_scale=size, pad_val=float(pad_value)),
    dict(type="RandomResize", scale=(1280, 1280), ratio_range=(0.1, 2.0), keep_ratio=True),
    *augment,
    dict(
        type="CachedMixUp",
        img_scale=size,
        ratio_range=(1.0, 1.0),
        max_cached_images=20,
        pad_val=(pad_value,) * 3,
    ),
    dict(type="PackDetInputs"),
]
# For the last epochs.
plain_pipeline = [
    *load,
    dict(type="RandomResize", scale=size, ratio_range=(0.1, 2.0), keep_ratio=True),
    *augment,
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadReadableImage"),
    dict(type="Resize", scale=size, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]
tta_pipeline = [
    dict(type="LoadReadableImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(side, side), keep_ratio=True) for side in (640, 320, 960)],
            [dict(type="RandomFlip", prob=1.0), dict(type="RandomFlip", prob=0.0)],
            [dict(type="LoadAnnotations", with_bbox=True)],
            [dict(type="PackDetInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=32,
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

del size, pad_value, load, augment  # setting them would change nothing
