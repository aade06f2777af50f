"""One of several processes that finish at the same time writes the results, once."""

from vanillanet_det.runtime.records import Records, Share

NAMES = ["a.png", "b.png"]


def last(folder, rank, world_size=2, image=None):
    """Let a process record an image, and tell whether it has to write the results."""
    with Records(folder, NAMES, {}, Share(rank, world_size, "run")) as records:
        if image:
            records.begin()
            records.add(image, width=1, height=1, detections=[])
        with records.lock():
            return records.is_last_rank(records.read())


def test_only_the_last_process_writes_even_if_all_images_are_finished_before(tmp_path):
    for rank, image in enumerate(NAMES):
        with Records(tmp_path, NAMES, {}, Share(rank, 2, "run")) as records:
            records.begin()
            records.add(image, width=1, height=1, detections=[])
    assert [last(tmp_path, rank) for rank in (1, 0)] == [False, True]
    assert [last(tmp_path, rank) for rank in (0, 1)] == [False, True]


def test_a_process_that_was_killed_in_an_earlier_run_is_waited_for(tmp_path):
    assert not last(tmp_path, 0, image="a.png")  # rank 1 is killed
    assert not last(tmp_path, 0, world_size=3)
    assert not last(tmp_path, 2, world_size=3)
    assert last(tmp_path, 1, world_size=3, image="b.png")


def test_one_process_needs_no_lock(tmp_path):
    assert not last(tmp_path, 0, world_size=1, image="a.png")
    assert last(tmp_path, 0, world_size=1, image="b.png")
    assert not list(tmp_path.rglob(".*"))
