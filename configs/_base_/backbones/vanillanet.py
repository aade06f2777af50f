# Configs take these out with `_base_.pop`, so that nothing is left beside their `model`.
# Without out_indices, features are the last of strides 4, 8, 16, 32 in any arch.
backbone = dict(type="VanillaNet", norm_cfg=dict(type="SyncBN"))
channels = [512, 1024, 2048, 4096]
