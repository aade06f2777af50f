# RTMDet-Ins with VanillaNet-5 on COCO 2017, from the published ImageNet weights.
_base_ = "rtmdet_ins_vanillanet11_coco.py"

model = dict(
    backbone=dict(
        arch="5",
        out_indices=(1, 2, 3),  # the last of strides 8, 16, 32 in VanillaNet-5
        init_cfg=dict(checkpoint="checkpoints/vanillanet_5.pth"),
    )
)
