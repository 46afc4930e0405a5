"""Which models a process keeps, on which device and in which arithmetic."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from decoders.models import load
from decoders.models.arithmetic import pinned_arithmetic
from decoders.models.devices import free_memory
from decoders.models.load import load_image_text, load_language_model


@pytest.fixture(autouse=True)
def _own_memo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(load, "_loaded", weakref.WeakValueDictionary())
    monkeypatch.setattr(load, "_kept", {})
    yield
    gc.collect()


def test_one_device_has_one_model_whatever_its_name(gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"local:{gpt2_folder}"
    assert load_language_model(name, device="cpu:0") is load_language_model(name, device="cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    made: list[str] = []

    def read(*arguments: object) -> object:
        made.append(str(arguments[-1]))
        return load_language_model(name)

    monkeypatch.setattr(load, "_read_language_model", read)
    for device in ("cuda", "cuda:0", "cuda:1", "cuda"):
        load_language_model(name, dtype="float16", device=device)
    assert made == ["cuda:0", "cuda:1"]


def test_a_model_that_nobody_uses_is_let_go_when_memory_is_full(gpt2_folder: Path, clip_folder: Path) -> None:
    lm = load_language_model(f"local:{gpt2_folder}")
    unused = weakref.ref(load_image_text(f"local-dir:{clip_folder}"))
    gc.collect()
    assert unused() is load_image_text(f"local-dir:{clip_folder}")  # kept for the next decoder
    free_memory()
    assert unused() is None
    assert load_language_model(f"local:{gpt2_folder}") is lm  # what is in use is still the only one


def test_only_the_latest_models_are_kept(gpt2_folder: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_KEPT", 1)
    lm = weakref.ref(load_language_model(f"local:{gpt2_folder}"))
    load_image_text(f"local-dir:{clip_folder}")
    gc.collect()
    assert lm() is None


def test_tf32_is_a_name_of_its_own_and_is_on_only_where_its_decoder_computes(gpt2_folder: Path) -> None:
    def switches() -> tuple[bool, bool, str, str]:
        cuda = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return (*cuda, torch.backends.mkldnn.matmul.fp32_precision, str(torch.get_default_dtype()))

    lm = load_language_model(f"local:{gpt2_folder}", dtype="tf32")
    assert (lm.dtype, lm.model.dtype) == ("tf32", torch.float32)
    assert lm is not load_language_model(f"local:{gpt2_folder}")
    before = switches()
    with pinned_arithmetic("tf32"):
        on = switches()
    with pinned_arithmetic():
        off = switches()
    assert switches() == before
    assert (on[:2], off[:2]) == ((True, True), (False, False))
    assert on[2] == off[2]  # processors compute as before
