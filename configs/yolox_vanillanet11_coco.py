# YOLOX with VanillaNet-11 on COCO 2017, from the published ImageNet weights. The recipe is
# RTMDet's, with AdamW, which VanillaNets are pretrained with.
_base_ = ["_base_/coco_mosaic_300e.py", "_base_/models/yolox_vanillanet.py"]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)
