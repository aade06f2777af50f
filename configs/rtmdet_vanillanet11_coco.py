# RTMDet with VanillaNet-11 on COCO 2017, from the published ImageNet weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/rtmdet_vanillanet.py",
    "_base_/datasets/coco_detection_mosaic.py",
    "_base_/schedules/coco_300e.py",
]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)
default_hooks = dict(
    ema=dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0002, update_buffers=True),
    plain_images=dict(
        type="PipelineSwitchHook",
        switch_epoch=_base_.pop("max_epochs") - _base_.pop("plain_epochs"),
        switch_pipeline=_base_.pop("plain_pipeline"),
    ),
)
