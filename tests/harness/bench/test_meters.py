"""Operations against sums done by hand, parts of the time, medians, and memory that was really used."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from decoders.models.language_model import LanguageModel
from decoders.models.load import load_image_text
from harness.bench.memory import MeasurementFailed, measure_memory, peak_bytes
from harness.bench.meters import Clock, MachineRate, Part, Spread, count_flops, watching
from harness.bench.scenarios import SCENARIOS, Setup


def test_operations_of_a_matrix_product() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: F.linear(a, b.T, torch.randn(7))) == 2 * 3 * 5 * 7
    assert count_flops(lambda: torch.randn(4, 3, 5) @ torch.randn(4, 5, 2)) == 4 * 2 * 3 * 5 * 2


def test_operations_of_attention_on_a_cpu() -> None:
    query, key = torch.randn(2, 4, 3, 8, requires_grad=True), torch.randn(2, 4, 5, 8)
    forward = 2 * 4 * (2 * 3 * 5 * 8) * 2
    assert count_flops(lambda: F.scaled_dot_product_attention(query, key, key)) == forward
    both = count_flops(lambda: torch.autograd.grad(F.scaled_dot_product_attention(query, key, key).sum(), query))
    assert both > 2 * forward


def test_operations_of_attention_as_torch_does_it_for_inference() -> None:
    block = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval().requires_grad_(False)
    x = torch.randn(3, 6, 16)
    by_hand = 2 * 3 * 6 * 16 * (3 * 16) + 2 * 3 * 6 * 6 * 16 * 2 + 2 * 3 * 6 * 16 * 16
    with torch.no_grad():
        assert count_flops(lambda: block(x, x, x, need_weights=False)) == by_hand


def test_operations_of_packed_weights() -> None:
    x, weight = torch.randn(3, 4, 8), torch.randn(6, 8)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 12)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        pytest.skip(f"this torch packs no weights: {error}")
    flops = count_flops(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""))
    assert flops == 2 * 12 * 8 * 6


def test_the_image_tower_takes_what_its_shape_says(clip_folder: Path) -> None:
    """Two layers of width 32 over 16 patches and a class token, each pixel of a patch once; a projection to 24."""
    model = load_image_text(f"local-dir:{clip_folder}").model
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        flops = count_flops(lambda: model.encode_image(pixels))
    tokens, width = 17, 32
    layer = 2 * tokens * width * (12 * width) + 4 * tokens * tokens * width
    assert flops == 2 * 16 * (3 * 8 * 8) * width + 2 * layer + 2 * width * 24


def test_parts_of_the_time() -> None:
    clock = Clock()
    with clock.part(Part.LM):
        time.sleep(0.02)
        with clock.part(Part.TEXT):
            time.sleep(0.02)
    clock.on = False
    with clock.part(Part.TEXT):
        time.sleep(0.01)
    taken = clock.take()
    assert taken[Part.LM] >= 0.04
    assert taken[Part.TEXT] == taken[Part.IMAGE] == 0
    assert set(clock.take().values()) == {0.0}


def test_the_product_is_watched_and_then_left_alone(gpt2_folder: Path) -> None:
    from decoders.models.load import load_language_model
    from decoders.models.shifted_cache import ShiftedCache

    plain = LanguageModel.prefill, torch.autograd.grad, ShiftedCache.__init__
    lm, clock = load_language_model(f"local:{gpt2_folder}"), Clock()
    with watching(clock):
        lm.prefill([[1, 2]])
    assert clock.take()[Part.LM] > 0
    assert (LanguageModel.prefill, torch.autograd.grad, ShiftedCache.__init__) == plain
    lm.prefill([[1, 2]])
    assert clock.take()[Part.LM] == 0


def test_spread() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])
    assert (spread.median, spread.low, spread.high) == (2.0, 1.0, 3.0)
    assert spread.percent == 50.0
    assert Spread.of([4.0]).percent == 0.0
    assert Spread.of([1.0, 2.0]).median == 1.5


def test_the_machine_has_a_rate() -> None:
    rate = MachineRate(["float32", "bfloat16", "float32"], "cpu")
    rate.measure(seconds=0.01)
    found = rate.medians()
    assert {"float32 2880x512x2048 plain", "bfloat16 45x768x3072 plain"} <= set(found)
    assert all(1e8 < each < 1e15 for each in found.values())
    assert rate.best("float32") == max(each for name, each in found.items() if "float32" in name)


def test_peak_memory_grows_with_what_is_used() -> None:
    before = peak_bytes()
    block = torch.ones(64 << 20, dtype=torch.uint8)
    assert peak_bytes() >= max(before, block.numel())
    assert before > 50 << 20


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    setup = Setup(language_model=f"local:{tmp_path}/nowhere")
    with pytest.raises(MeasurementFailed, match="nowhere"):
        measure_memory(SCENARIOS["greedy"], setup, "seetell", 1, 1)
