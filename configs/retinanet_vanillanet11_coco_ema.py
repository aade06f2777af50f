# Keeps an exponential moving average of the weights, which is evaluated, fused and saved.
_base_ = "retinanet_vanillanet11_coco.py"

# Averages over about 5,000 iterations, fewer at the start. BatchNorm statistics belong to the
# weights, so they are averaged with them.
default_hooks = dict(
    ema=dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0002, update_buffers=True)
)
