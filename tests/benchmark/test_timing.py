"""Candidates take turns, and what a round has in common leaves their ratio."""

import threading
import time

import pytest
import torch

from vanillanet_det.benchmark.candidates import Candidate, Inputs
from vanillanet_det.benchmark.machine import describe_machine, matrix_product, peak_bytes
from vanillanet_det.benchmark.results import Row
from vanillanet_det.benchmark.timing import LEAST_ROUNDS, interleaved, seconds_of

CPU = torch.device("cpu")


def nothing():
    pass


def test_candidates_take_turns_and_get_the_number_of_the_round():
    called = []
    calls = [lambda number, name=name: called.append((name, number)) for name in "ab"]
    times = interleaved(calls, nothing, budget=0.0, rounds=3)
    assert called == [(name, number) for number in range(3) for name in "ab"]
    assert [len(seconds) for seconds in times] == [3, 3]


@pytest.mark.parametrize(
    ("budget", "least", "most"), [(0.0, LEAST_ROUNDS, LEAST_ROUNDS), (0.2, 8, 40)]
)
def test_as_many_rounds_as_fit_and_never_too_few(budget, least, most):
    shares = []
    (seconds,) = interleaved(
        [lambda number: time.sleep(0.01)],
        nothing,
        budget or 1e-9,
        progress=lambda index, share: shares.append(share),
    )
    assert least <= len(seconds) <= most
    assert all(second >= 0.01 for second in seconds)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_the_clock_is_read_when_the_device_is_idle():
    order = []
    seconds_of(lambda: order.append("call"), lambda: order.append("wait"))
    assert order == ["wait", "call", "wait"]


def test_the_threads_of_the_one_before_have_stopped():
    def has_waited():
        end = time.perf_counter() + 0.1

        def spin():
            while time.perf_counter() < end:
                pass

        thread = threading.Thread(target=spin)
        thread.start()
        began = []
        seconds_of(lambda: began.append(time.perf_counter()), lambda: None)
        thread.join()
        return began[0] >= end

    # On a busy machine, a thread that waits for a core seems to have stopped.
    assert any(has_waited() for _ in range(5))


def _rows(slow, fast):
    return (
        Row("a", "detector", form, "fp32", "contiguous", False, 1, seconds=seconds)
        for form, seconds in (("training", slow), ("deploy", fast))
    )


def test_the_ratio_is_taken_within_rounds():
    # The machine was three times as slow in the second round, which the ratio doesn't show.
    slow, fast = _rows([2.0, 6.0, 2.2], [1.0, 3.0, 1.1])
    assert fast.ratio(slow) == pytest.approx(2.0)
    assert slow.ratio(fast) == pytest.approx(0.5)


def test_a_disturbed_round_is_not_in_the_ratio():
    # In one round of eight something else took the machine from one of both, in one from the other.
    slow, fast = _rows([2.0, 9.0, 2.1, 1.9, 2.0, 2.0, 2.0, 2.0], [1.0] * 7 + [5.0])
    assert fast.ratio(slow) == pytest.approx(2.0)


class Found(Candidate):
    """Finds as many boxes in each batch as its inputs say."""

    def compute(self, index):
        return self.inputs.batches[index]


@pytest.mark.parametrize(("rounds", "boxes", "notes"), [(2, 1.5, 1), (3, 3.0, 0), (4, 3.0, 0)])
def test_boxes_are_the_mean_of_the_batches_that_were_timed(rounds, boxes, notes):
    row = Row("a", "detector", "deploy", "fp32", "contiguous", False, 2)
    candidate = Found(row, Inputs([2, 4, 12], [(2, 3, 8, 8)] * 3))
    candidate.warm_up()
    (seconds,) = interleaved([candidate], nothing, budget=0.0, rounds=rounds)
    candidate.record(seconds)
    assert row.seconds == seconds
    assert row.boxes == boxes
    assert len(row.notes) == notes
    assert all("2 of 3 batches of images were timed" in note for note in row.notes)


def test_peak_memory_is_the_highest_and_not_what_is_left():
    def call():
        kept = torch.zeros(50, 2**20).sum()  # 200 MiB
        return kept + torch.zeros(10, 2**20).sum()

    found = peak_bytes(call, CPU)
    if found is None:
        pytest.skip("the system doesn't tell a process's highest memory")
    assert 190 * 2**20 < found < 260 * 2**20


def test_a_matrix_product_and_its_operations():
    call, operations = matrix_product("fp32", CPU)
    side = len(call())
    assert operations == 2 * side**3


def test_emulated_precisions_are_reported(monkeypatch):
    monkeypatch.setattr("vanillanet_det.benchmark.machine._is_native", lambda p, d: p == "fp32")
    machine = describe_machine(CPU, ["fp32", "bf16"])
    assert len(machine.notes) == 1
    assert "no instructions for bf16" in machine.notes[0]
    assert machine.versions["torch"] == torch.__version__.partition("+")[0]
    assert describe_machine(CPU, ["fp32"]).notes == []


def test_variables_that_change_speed_are_recorded(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert describe_machine(CPU, ["fp32"]).environment["MALLOC_TRIM_THRESHOLD_"] == "1000"


@pytest.mark.gpu
def test_on_a_gpu():
    device = torch.device("cuda")
    assert peak_bytes(lambda: torch.zeros(2**20, device=device), device) >= 4 * 2**20
    assert "cuda" in describe_machine(device, ["fp32", "bf16"]).device
