"""Generated LabelMe datasets come back, and harmed ones aren't read in silence."""

import json

from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given


def write_labelme(root, scene):
    for picture in scene.pictures:
        path = root / picture.split / f"{picture.stem}.png"
        save_picture(path, picture.size)
        shapes = []
        for thing in picture.things:
            left, top, right, bottom = thing.box
            points, kind = [[right, top], [left, bottom]], "rectangle"
            if thing.polygon:
                points = [list(point) for point in zip(thing.polygon[::2], thing.polygon[1::2])]
                kind = "polygon"
            shape = dict(label=thing.name, points=points, group_id=None, shape_type=kind, flags={})
            shapes.append(shape)
        width, height = picture.size
        content = dict(version="5.4.1", flags={}, shapes=shapes, imagePath=path.name)
        content.update(imageData=None, imageHeight=height, imageWidth=width)
        path.with_suffix(".json").write_text(json.dumps(content, indent=2), encoding="utf-8")


@given(scenes(polygons=True))
def test_what_is_written_comes_back(scene):
    check_comes_back(scene, write_labelme)


@given(scenes(polygons=True), harms())
def test_harmed_files_end_in_a_sentence_or_a_remark(scene, harm):
    check_harmed(scene, write_labelme, harm)
