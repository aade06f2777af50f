# RTMDet-Ins with VanillaNet-11 on COCO 2017, from the published ImageNet weights.
_base_ = ["_base_/coco_mosaic_instance_300e.py", "_base_/models/rtmdet_ins.py"]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)
