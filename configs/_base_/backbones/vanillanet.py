# What a config takes out of here with `_base_.pop` doesn't stay beside its `model`.
# Without out_indices: the last features of the strides 4, 8, 16, 32, whatever the arch.
backbone = dict(type="VanillaNet", norm_cfg=dict(type="SyncBN"))
channels = [512, 1024, 2048, 4096]
