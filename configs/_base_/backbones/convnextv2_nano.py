# MMDetection has no ConvNeXtV2; this is timm's. The weights, trained on ImageNet-1k alone, are
# pytorch_model.bin of https://huggingface.co/timm/convnextv2_nano.fcmae_ft_in1k, renamed. The
# drop rate is from the authors' ImageNet recipe.
backbone = dict(
    type="TIMMBackbone",
    model_name="convnextv2_nano",
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.1,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnextv2_nano.fcmae_ft_in1k.bin"),
)
channels = [80, 160, 320, 640]
