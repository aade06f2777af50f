# Mask R-CNN with the VanillaNet-13 that pools adaptively, from the published ImageNet weights. Its
# strides are 3, 6, 12, 24.
_base_ = "mask_rcnn_vanillanet13_x1_5_coco.py"

model = dict(
    # Each pooling halves a multiple of 24 exactly, so features align with the strides.
    data_preprocessor=dict(pad_size_divisor=24),
    backbone=dict(
        arch="13_x1_5_ada_pool",
        init_cfg=dict(checkpoint="checkpoints/vanillanet_13_x1_5_ada_pool.pth"),
    ),
    rpn_head=dict(
        # Anchors of 32 to 512 pixels, as at strides 4 to 64.
        anchor_generator=dict(scales=[32 / 3], strides=[3, 6, 12, 24, 48]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
        mask_roi_extractor=dict(featmap_strides=[3, 6, 12, 24]),
    ),
)
