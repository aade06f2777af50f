"""A small dataset to break, one thing at a time."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from vanillanet_det.checks import check_config

WIDTH, HEIGHT = 40, 30
NAMES = ("cat", "dog")


def make_content(seed):
    """Two objects in each of two images, one of each class."""
    images = [dict(id=i, file_name=f"{seed}-{i}.png", width=WIDTH, height=HEIGHT) for i in (11, 12)]
    annotations = [
        dict(
            id=10 * image["id"] + category,
            image_id=image["id"],
            category_id=category,
            bbox=[2.5 * category, 3, 10, 8],
            area=80,
            iscrowd=0,
        )
        for image in images
        for category in (3, 7)
    ]
    categories = [dict(id=id, name=name) for id, name in zip((3, 7), NAMES)]
    return dict(images=images, annotations=annotations, categories=categories)


class SmallSet:
    """A training and a validation set, each its content and a folder of images."""

    def __init__(self, root):
        self.root = root
        self.contents = dict(train=make_content(1), val=make_content(2))
        self.cfg = Config()
        for seed, (split, content) in enumerate(self.contents.items()):
            (root / split).mkdir()
            random = np.random.RandomState(seed)
            for image in content["images"]:
                pixels = random.randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
                Image.fromarray(pixels).save(root / split / image["file_name"])
            self.cfg[f"{split}_dataloader"] = dict(
                batch_size=2,
                dataset=dict(
                    type="CocoDataset",
                    data_root=str(root),
                    ann_file=f"{split}.json",
                    data_prefix=dict(img=f"{split}/"),
                    metainfo=dict(classes=NAMES),
                    test_mode=split == "val",
                    pipeline=[dict(type="LoadReadableImage")],
                ),
            )
        self.cfg.val_evaluator = dict(type="CocoMetric", ann_file=str(root / "val.json"))

    def __getitem__(self, split):
        return self.contents[split]

    def dataset(self, split):
        """Config of one of the sets."""
        return self.cfg[f"{split}_dataloader"].dataset

    def check(self, **kwargs):
        """Write both files and check everything."""
        for split, content in self.contents.items():
            (self.root / f"{split}.json").write_text(json.dumps(content))
        before = self.cfg.pretty_text
        findings = check_config(self.cfg, **kwargs)
        assert self.cfg.pretty_text == before
        return findings

    def the_one(self, level, code, **kwargs):
        """Check, expect one finding of this kind, and give its message."""
        (finding,) = self.check(**kwargs)
        assert (finding.level, finding.code) == (level, code)
        self.count = finding.count
        return finding.message


@pytest.fixture
def small(tmp_path):
    """A dataset that passes, to be changed."""
    return SmallSet(tmp_path)
