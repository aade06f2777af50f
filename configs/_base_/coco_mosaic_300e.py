# RTMDet's recipe for COCO: mosaic and mixup, averaged weights, 300 epochs.
_base_ = [
    "default_runtime.py",
    "datasets/coco_detection_mosaic.py",
    "schedules/coco_300e.py",
]

default_hooks = dict(
    ema=dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0002, update_buffers=True),
    plain_images=dict(
        type="PipelineSwitchHook",
        switch_epoch=_base_.pop("max_epochs") - _base_.pop("plain_epochs"),
        switch_pipeline=_base_.pop("plain_pipeline"),
    ),
)
