# As in MMDetection's own configs. The weights are torchvision's ResNet50_Weights.IMAGENET1K_V1:
# https://download.pytorch.org/models/resnet50-0676ba61.pth
backbone = dict(
    type="ResNet",
    depth=50,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    frozen_stages=1,
    norm_cfg=dict(type="BN", requires_grad=True),
    norm_eval=True,
    style="pytorch",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/resnet50-0676ba61.pth"),
)
channels = [256, 512, 1024, 2048]
