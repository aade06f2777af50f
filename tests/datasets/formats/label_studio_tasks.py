"""Label Studio exports of a few tasks."""

from data_folders import SIZE, save_image, write

from vanillanet_det.datasets.formats import read_dataset

W, H = SIZE  # 60 x 40
BOX = [6, 8, 30, 12]
RECTANGLE = dict(x=10, y=20, width=50, height=30, rotation=0)


def result(value=RECTANGLE, kind="rectanglelabels", label="cat", size=SIZE, **keys):
    labels = {kind: [label]} if label else {}
    sides = dict(original_width=size[0], original_height=size[1], image_rotation=0) if size else {}
    return dict(type=kind, value={**value, **labels}, **sides, **keys)


def annotation(*results, **keys):
    return dict(id=1, result=list(results), was_cancelled=False, **keys)


def task(*annotations, image="/data/upload/1/0a1b2c3d-a.jpg", id=7, **keys):
    return dict(id=id, data=dict(image=image), annotations=list(annotations), **keys)


def export(root, *tasks, images=("a.jpg",)):
    for index, name in enumerate(images):
        save_image(root / "images" / name, seed=index)
    write(root / "project-1.json", list(tasks))
    return root


def one(root, *results, **keys):
    """Read one task with one annotation."""
    return read_dataset(export(root, task(annotation(*results), **keys)))
