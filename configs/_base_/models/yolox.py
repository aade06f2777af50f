# YOLOX's neck and head, on features of strides 8, 16, 32. The mapper is ours: YOLOX's neck is as
# wide as its inputs, and VanillaNet's features have thousands of channels.
norm_cfg = dict(type="SyncBN", momentum=0.03, eps=0.001)
act_cfg = dict(type="SiLU", inplace=True)  # Swish in one pass

model = dict(
    type="YOLOX",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    # Each config sets the backbone, and in_channels of the mapper to its features' channels.
    neck=[
        dict(
            type="ChannelMapper",
            kernel_size=1,
            out_channels=256,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
        dict(
            type="YOLOXPAFPN",
            in_channels=[256, 256, 256],
            out_channels=256,
            num_csp_blocks=3,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
    ],
    bbox_head=dict(
        type="YOLOXHead",
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        stacked_convs=2,
        strides=[8, 16, 32],
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    train_cfg=dict(assigner=dict(type="SimOTAAssigner", center_radius=2.5)),
    # max_per_img is for exported files; in MMDetection, YOLOX has no such limit.
    test_cfg=dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65), max_per_img=300),
)

del norm_cfg, act_cfg  # setting them would change nothing
