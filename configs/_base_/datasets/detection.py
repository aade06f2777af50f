# Shared by all datasets: dataloader settings and COCO's box metrics.
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="CocoDataset"),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="CocoDataset", test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="FasterCocoMetric", metric="bbox")
test_evaluator = val_evaluator
