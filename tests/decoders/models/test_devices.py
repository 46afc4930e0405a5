"""Names of devices, and batches that shrink where memory is full and grow again."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from decoders.errors import ModelMismatch
from decoders.models import devices
from decoders.models.devices import Fit, check_device, is_memory_error, pick_device

MESSAGES = (
    "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
)


def test_full_memory_is_recognised_in_every_library_that_reports_it() -> None:
    errors = [kind(message) for message in MESSAGES for kind in (RuntimeError, torch.AcceleratorError)]
    assert all(map(is_memory_error, [*errors, MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")]))
    others = ["CUDA error: an illegal memory access was encountered", "CUBLAS_STATUS_EXECUTION_FAILED", "size mismatch"]
    assert not any(is_memory_error(RuntimeError(message)) for message in others)
    assert not is_memory_error(ValueError("out of memory"))


def test_a_failed_batch_is_halved_once_its_tensors_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(sum(tensor() is not None for tensor in held)))

    def deep(batch: list[int]) -> int:
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        try:
            if len(batch) > 2:
                raise RuntimeError(MESSAGES[0])
        except RuntimeError as error:
            raise torch.AcceleratorError(MESSAGES[1]) from error  # the first error's frames hold tensors as well
        return sum(batch)

    assert list(Fit().batches(list(range(8)), 8, deep)) == [1, 5, 9, 13]
    assert alive == [0, 0]


def test_batches_grow_again_and_try_less_often_what_keeps_failing() -> None:
    sizes: list[int] = []
    most = [4]

    def work(batch: range) -> None:
        sizes.append(len(batch))
        if len(batch) > most[0]:
            raise MemoryError

    fit = Fit()
    list(fit.batches(range(400), 16, work))
    failed = [place for place, size in enumerate(sizes) if size > 4]
    assert sizes[:3] == [16, 8, 4]
    assert failed[:2] == [0, 1]
    assert failed[3] - failed[2] == 2 * (failed[2] - failed[1]) - 1  # twice as many batches fit before it is tried again
    most[0] = 16
    list(fit.batches(range(2000), 16, work))
    assert sizes[-2] == 16
    assert fit.limit is None


def test_one_item_is_tried_again_without_what_was_kept_to_save_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [True]
    monkeypatch.setattr(devices, "_releases", [kept.clear])

    def work(_: range) -> str:
        if kept:
            raise MemoryError
        return "fits"

    assert list(Fit().batches(range(1), 1, work)) == ["fits"]
    with pytest.raises(MemoryError):
        list(Fit().batches(range(2), 2, _no_memory))
    with pytest.raises(ZeroDivisionError):
        list(Fit().batches(range(2), 2, lambda _: 1 // 0))


def _no_memory(_: object) -> None:
    raise MemoryError


def test_at_once_gives_what_the_size_that_fits_gives() -> None:
    def work(size: int) -> int:
        if size > 5:
            raise RuntimeError(MESSAGES[2])
        return size

    notices: list[tuple[int, int]] = []
    fit = Fit(lambda *sizes: notices.append(sizes))
    assert [fit.at_once(20, work) for _ in range(2)] == [5, 5]
    assert notices == [(20, 10), (10, 5)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mps", "'mps' is not supported: sampling draws in float64.*use cpu"),
        ("gpu", "'gpu' is called 'cuda' by torch"),
        ("gpu:1", "'gpu:1' is called 'cuda:1' by torch"),
        ("cuda:7", "'cuda:7' is not available: this machine has 2 CUDA device.*cuda:0 to cuda:1"),
        ("toaster", "'toaster' is no device; expected auto, cpu, cuda"),
        ("meta", "'meta' is not supported; expected auto"),
    ],
)
@pytest.mark.parametrize("check", [pick_device, check_device])
def test_a_device_that_cannot_be_used_is_refused_in_a_sentence(
    name: str, reason: str, check: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ModelMismatch, match=reason):
        check(name)


def test_a_device_that_is_present_is_taken_as_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (pick_device("cuda:1"), pick_device("cpu")) == ("cuda:1", "cpu")
