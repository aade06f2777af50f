"""Generated datasets of the formats with lists come back; harmed ones aren't read in silence."""

import csv
import json
from xml.sax.saxutils import quoteattr

import pytest
from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given


def save_pictures(root, scene):
    """Write the images to folders named after their splits."""
    for picture in scene.pictures:
        save_picture(root / picture.split / f"{picture.stem}.png", picture.size)


def write_label_studio(root, scene):
    """Write a project for each split, as uploads of the images."""
    save_pictures(root, scene)
    for split in scene.splits:
        tasks = [
            dict(
                id=index,
                data=dict(image=f"/data/upload/1/{index:08x}-{picture.stem}.png"),
                annotations=[dict(id=index, was_cancelled=False, result=list(results(picture)))],
                predictions=[],
            )
            for index, picture in enumerate(scene.of(split))
        ]
        (root / split / "project-1.json").write_text(json.dumps(tasks))


def results(picture):
    width, height = picture.size
    for index, thing in enumerate(picture.things):
        left, top, right, bottom = thing.box
        if thing.polygon:
            pairs = zip(thing.polygon[::2], thing.polygon[1::2])
            points = [[100 * x / width, 100 * y / height] for x, y in pairs]
            value = dict(points=points, closed=True, polygonlabels=[thing.name])
            kind = "polygonlabels"
        else:
            value = dict(
                x=100 * left / width,
                y=100 * top / height,
                width=100 * (right - left) / width,
                height=100 * (bottom - top) / height,
                rotation=0,
                rectanglelabels=[thing.name],
            )
            kind = "rectanglelabels"
        yield dict(
            id=f"r{index}",
            type=kind,
            value=value,
            original_width=width,
            original_height=height,
            image_rotation=0,
        )


def write_createml(root, scene):
    save_pictures(root, scene)
    for split in scene.splits:
        images = []
        for picture in scene.of(split):
            boxes = [
                dict(
                    label=thing.name,
                    coordinates=dict(
                        x=(left + right) / 2,
                        y=(top + bottom) / 2,
                        width=right - left,
                        height=bottom - top,
                    ),
                )
                for thing in picture.things
                for left, top, right, bottom in [thing.box]
            ]
            images.append(dict(image=f"{picture.stem}.png", annotations=boxes))
        (root / split / "_annotations.createml.json").write_text(json.dumps(images))


def write_cvat(root, scene):
    """Write a project with subsets; the images of each are in a folder."""
    images = ""
    for index, picture in enumerate(scene.pictures):
        subset = {"train": "Train", "val": "Validation"}[picture.split]
        name = f"{picture.stem}.png"
        save_picture(root / "images" / subset / name, picture.size)
        shapes = "".join(
            f"<polygon label={quoteattr(thing.name)} points={quoteattr(points(thing))}/>"
            if thing.polygon
            else f'<box label={quoteattr(thing.name)} xtl="{left}" ytl="{top}" xbr="{right}"'
            f' ybr="{bottom}" z_order="0"></box>'
            for thing in picture.things
            for left, top, right, bottom in [thing.box]
        )
        images += (
            f'<image id="{index}" name={quoteattr(name)} subset="{subset}" '
            f'width="{picture.size[0]}" height="{picture.size[1]}">{shapes}</image>'
        )
    text = f"<annotations><version>1.1</version><meta></meta>{images}</annotations>"
    (root / "annotations.xml").write_text(text, encoding="utf-8")


def points(thing):
    pairs = zip(thing.polygon[::2], thing.polygon[1::2])
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs)


def write_hugging_face(root, scene):
    save_pictures(root, scene)
    for split in scene.splits:
        lines = [
            json.dumps(
                dict(
                    file_name=f"{picture.stem}.png",
                    objects=dict(
                        bbox=[thing.coco_box for thing in picture.things],
                        categories=[scene.names.index(thing.name) for thing in picture.things],
                    ),
                )
            )
            for picture in scene.of(split)
        ]
        (root / split / "metadata.jsonl").write_text("\n".join(lines))
    (root / "classes.txt").write_text("\n".join(scene.names), encoding="utf-8")


def write_csv(root, scene):
    save_pictures(root, scene)
    for split in scene.splits:
        with open(root / split / "_annotations.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
            for picture in scene.of(split):
                for thing in picture.things:
                    rows.writerow([f"{picture.stem}.png", *picture.size, thing.name, *thing.box])
                if not picture.things:
                    rows.writerow([f"{picture.stem}.png", *picture.size, *[""] * 5])


def write_darknet(root, scene):
    lists = ""
    for split in scene.splits:
        folder = {"train": "obj_train_data", "val": "obj_valid_data"}[split]
        for picture in scene.of(split):
            path = root / folder / f"{picture.stem}.png"
            save_picture(path, picture.size)
            width, height = picture.size
            lines = [
                f"{scene.names.index(thing.name)} {(left + right) / 2 / width:.6f} "
                f"{(top + bottom) / 2 / height:.6f} {(right - left) / width:.6f} "
                f"{(bottom - top) / height:.6f}\n"
                for thing in picture.things
                for left, top, right, bottom in [thing.box]
            ]
            path.with_suffix(".txt").write_text("".join(lines))
        key = {"train": "train", "val": "valid"}[split]
        names = [f"data/{folder}/{picture.stem}.png\n" for picture in scene.of(split)]
        (root / f"{key}.txt").write_text("".join(names), encoding="utf-8")
        lists += f"{key} = data/{key}.txt\n"
    data = f"classes = {len(scene.names)}\n{lists}names = data/obj.names\nbackup = backup/\n"
    (root / "obj.data").write_text(data)
    (root / "obj.names").write_text("\n".join(scene.names) + "\n", encoding="utf-8")


WRITERS = {
    "Label Studio": (write_label_studio, True),
    "CreateML": (write_createml, False),
    "CVAT": (write_cvat, True),
    "Hugging Face image folder": (write_hugging_face, False),
    "CSV": (write_csv, False),
    "Darknet": (write_darknet, False),
}


@pytest.mark.parametrize("format", WRITERS)
def test_what_is_written_comes_back(format):
    write, has_polygons = WRITERS[format]

    @given(scenes(polygons=has_polygons))
    def check(scene):
        assert check_comes_back(scene, write).format == format

    check()


@pytest.mark.parametrize("format", WRITERS)
def test_harmed_files_end_in_a_sentence_or_a_remark(format):
    write, has_polygons = WRITERS[format]
    suffixes = (".json", ".xml", ".csv", ".jsonl", ".txt", ".data", ".names")

    @given(scenes(polygons=has_polygons), harms())
    def check(scene, harm):
        check_harmed(scene, write, harm, suffixes)

    check()
