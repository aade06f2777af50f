"""Generated COCO datasets come back, and harmed ones aren't read in silence."""

import json

from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given


def write_coco(root, scene):
    ids = {name: index for index, name in enumerate(scene.names, 1)}
    for split in scene.splits:
        content = dict(images=[], annotations=[], categories=[])
        content["categories"] = [dict(id=id, name=name) for name, id in ids.items()]
        for image_id, picture in enumerate(scene.of(split), 1):
            name, (width, height) = f"{picture.stem}.png", picture.size
            save_picture(root / split / name, picture.size)
            image = dict(id=image_id, file_name=name, width=width, height=height)
            content["images"].append(image)
            for thing in picture.things:
                box = thing.coco_box
                annotation = dict(image_id=image_id, category_id=ids[thing.name], bbox=box)
                annotation.update(id=len(content["annotations"]) + 1, area=box[2] * box[3])
                if thing.polygon:
                    annotation["segmentation"] = [list(thing.polygon)]
                content["annotations"].append(annotation)
        folder = root / "annotations"
        folder.mkdir(exist_ok=True)
        path = folder / f"instances_{split}.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


@given(scenes(polygons=True))
def test_what_is_written_comes_back(scene):
    check_comes_back(scene, write_coco)


@given(scenes(polygons=True), harms())
def test_harmed_files_end_in_a_sentence_or_a_remark(scene, harm):
    check_harmed(scene, write_coco, harm)
