# RTMDet-Ins with VanillaNet-9 on COCO 2017, from the published ImageNet weights.
_base_ = "rtmdet_ins_vanillanet11_coco.py"

model = dict(
    backbone=dict(
        arch="9",
        out_indices=(2, 5, 7),  # the last of strides 8, 16, 32 in VanillaNet-9
        init_cfg=dict(checkpoint="checkpoints/vanillanet_9.pth"),
    )
)
