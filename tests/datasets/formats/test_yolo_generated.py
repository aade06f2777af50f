"""Generated YOLO datasets come back, and harmed ones aren't read in silence."""

from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given


def write_labels(root, scene, names, folder="{split}/labels", images="{split}/images"):
    for picture in scene.pictures:
        width, height = picture.size
        name = f"{picture.stem}.png"
        save_picture(root / images.format(split=picture.split) / name, picture.size)
        lines = []
        for thing in picture.things:
            left, top, right, bottom = thing.box
            values = [(left + right) / 2 / width, (top + bottom) / 2 / height]
            values += [(right - left) / width, (bottom - top) / height]
            if thing.polygon:
                sides = (width, height) * 3
                values = [value / side for value, side in zip(thing.polygon, sides)]
            numbers = " ".join(f"{value:.6f}" for value in values)
            lines.append(f"{names(picture).index(thing.name)} {numbers}\n")
        path = root / folder.format(split=picture.split) / f"{picture.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")


def _quoted(name):
    is_yaml = any(sign in name for sign in ("#", ": ", "&"))
    return f'"{name}"' if is_yaml else name


def write_yolo(root, scene):
    write_labels(root, scene, lambda picture: scene.names)
    splits = "".join(f"{split}: {split}/images\n" for split in scene.splits)
    # Exporters don't quote the names that a typed YAML loader would change, such as yes or 010.
    names = "".join(f"- {_quoted(name)}\n" for name in scene.names)
    (root / "data.yaml").write_text(f"{splits}names:\n{names}", encoding="utf-8")


def write_labelimg(root, scene):
    """Each folder has a list of its own, in the order in which the classes occur there."""

    def names(picture):
        used = [thing.name for other in scene.of(picture.split) for thing in other.things]
        return list(dict.fromkeys(used)) or ["nothing"]

    write_labels(root, scene, names, "labels/{split}", "images/{split}")
    for split in scene.splits:
        listed = "".join(f"{name}\n" for name in names(scene.of(split)[0]))
        (root / "labels" / split / "classes.txt").write_text(listed, encoding="utf-8")


@given(scenes(polygons=True))
def test_what_is_written_comes_back(scene):
    check_comes_back(scene, write_yolo)


@given(scenes(polygons=True))
def test_each_folder_has_its_own_list_of_classes(scene):
    check_comes_back(scene, write_labelimg)


@given(scenes(polygons=True), harms())
def test_harmed_files_end_in_a_sentence_or_a_remark(scene, harm):
    check_harmed(scene, write_yolo, harm)
