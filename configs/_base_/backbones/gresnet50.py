# No weights are published: `vanillanet-det pretrain imagenet --model gresnet50` trains some.
backbone = dict(
    type="GResNet",
    depth=50,
    norm_cfg=dict(type="SyncBN"),
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/gresnet50.pth"),
)
channels = [256, 512, 1024, 2048]
