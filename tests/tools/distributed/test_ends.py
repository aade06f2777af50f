"""A killed, lost or failed rank ends the others; torchrun or --resume continues the run."""

import re
import shutil

import pytest
from torch.testing import assert_close

from vanillanet_det.engine.folder_lock import hold_folder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributed")]
KILL = """
custom_hooks = [dict(type="RecordLosses"), dict(type="KillRank", rank=1, iteration=7)]
"""


@pytest.fixture(scope="module")
def nodes(free_port):
    """Arguments of torchrun for each of two nodes, with one process each."""
    place = ("--master_addr=127.0.0.1", f"--master_port={free_port}")
    return [("--nnodes=2", "--nproc_per_node=1", f"--node_rank={rank}", *place) for rank in (0, 1)]


def test_resuming_on_two_nodes_changes_nothing(
    undisturbed, config, torchrun, nodes, half, losses, tmp_path
):
    (tmp_path / "w").mkdir()
    shutil.copy(undisturbed / "epoch_1.pth", tmp_path / "w")
    # The second node is first in a folder without the checkpoint.
    args = ("train", config, "--work-dir", "w", "--resume", "w/epoch_1.pth", *half)
    for folder, status in ((tmp_path / "elsewhere", 1), (tmp_path, 0)):
        folder.mkdir(exist_ok=True)
        other = torchrun.start(*args, by=nodes[1], cwd=folder)
        first = torchrun(*args, by=nodes[0], cwd=tmp_path)
        _, error = other.communicate(timeout=300)
        assert (first.returncode, other.returncode) == (status, status), first.stderr
        if status:
            message = r"error: rank 1 on \S+: can't read w/epoch_1\.pth .*use a shared folder"
            assert re.search(message, first.stderr)
            assert re.search(message, error)
    for rank in (0, 1):
        ours, theirs = (losses(folder, rank) for folder in (tmp_path / "w", undisturbed))
        assert list(ours) == list(theirs)[5:]
        # The first one after resuming; rounding grows from there.
        assert_close(ours[5], theirs[5], rtol=1e-4, atol=0)


def test_the_folder_of_another_run_is_refused_by_all_ranks(config, torchrun, half, tmp_path):
    with hold_folder(tmp_path):
        result = torchrun("train", config, "--work-dir", tmp_path, *half)
    assert result.returncode != 0
    assert re.search(
        r"^error: work dir .*another run is writing to it", result.stderr, re.MULTILINE
    )
    assert "RuntimeError" not in result.stderr


def test_torchrun_restarts_a_killed_rank_by_itself(
    undisturbed, make_config, torchrun, half, losses, tmp_path
):
    # PyTorch 2.1 looks every 5 s only, when both ranks have ended.
    by = ("--standalone", "--nproc_per_node=2", "--max-restarts=1", "--monitor_interval=0.1")
    args = ("train", make_config(KILL), "--work-dir", tmp_path, "--resume", *half)
    result = torchrun(*args, by=by)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"failed \(exitcode: -9\) local_rank: 1 ", result.stderr)
    assert {path.name for path in tmp_path.glob("epoch_*")} == {"epoch_1.pth", "epoch_2.pth"}
    logs = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "resumed epoch: 1" in logs
    ours, theirs = losses(tmp_path), losses(undisturbed)
    assert list(ours) == list(theirs)
    assert_close(ours[5], theirs[5], rtol=1e-4, atol=0)


def test_a_mistake_is_reported_once(config, torchrun, tmp_path):
    option = "train_dataloader.dataset.ann_file=no.json"
    result = torchrun("train", config, "--work-dir", tmp_path, "--cfg-options", option)
    assert result.returncode != 0
    assert result.stderr.count("error: train_dataloader: ") == 1
    assert re.search(r"^error: train_dataloader: .*no\.json is missing", result.stderr, re.M)
    assert "UserError" not in result.stderr


def test_slurm_and_a_loss_that_one_rank_alone_sees(poisoned):
    work_dir, statuses, errors = poisoned
    assert statuses == [2, 2], errors
    assert re.search(
        r"error: rank 1, iteration 8 \(epoch 2\): the loss is not finite: .*loss nan.*\n"
        r"Images of this batch: \S+i000005\.png, \S+i000006\.png\.\n"
        rf"Last good checkpoint: {work_dir}/epoch_1\.pth\. .*--resume {work_dir}/epoch_1\.pth",
        errors[1],
    )
    assert re.search(r"error: rank 0 on \S+: another rank has exited", errors[0])
    assert [path.name for path in work_dir.glob("*.pth")] == ["epoch_1.pth"]
