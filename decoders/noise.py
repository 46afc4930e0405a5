"""Random numbers by place: those of a few tokens, without those of the others, on whatever device the tokens are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_ROUNDS = 10
_FACTORS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
"""The constants of Philox 4x64-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", section 4.3)."""
_LOW = 0xFFFFFFFF


def counter_noise_at(seeds: Tensor, step: int, tokens: Tensor) -> Tensor:
    """The numbers that `counter_noise(seed, step, size)` has at some places, bit by bit, `[n]` float64.

    Args:
        seeds: `[n]` int64, the 64 bits of each seed.
        step: number of the token that is chosen with them, from 0.
        tokens: `[n]` int64, the places.
    """
    # Arithmetic of 64 bits without sign, in int64: sums and products wrap alike, only shifts and comparisons would differ. Two
    # lanes of a counter are multiplied in each round; both are one tensor here, `[2, n]`, since each operator is a launch.
    factors = _columns(_FACTORS, tokens.device)
    halves = torch.stack([factors & _LOW, (factors >> 32) & _LOW])[:, None]
    key_steps = _columns(_KEY_STEPS, tokens.device)
    keys = torch.stack([seeds, torch.zeros_like(seeds)])
    even = torch.stack([tokens // 4 + 1, torch.zeros_like(tokens)])  # numpy counts on before its first block
    odd = torch.stack([torch.zeros_like(tokens), torch.full_like(tokens, step)])
    for number in range(_ROUNDS):
        if number:
            keys = keys + key_steps
        high, low = _product(even, factors, halves)
        even, odd = high.flip(0) ^ odd ^ keys, low.flip(0)
    lanes = torch.stack([even[0], odd[0], even[1], odd[1]])
    raw = lanes.gather(0, (tokens % 4)[None])[0]
    fraction = (raw >> 11) & (2**53 - 1)
    # The largest of the 2^53 numbers would round to 1.
    return ((fraction.double() + 0.5) * 2.0**-53).clamp(max=1 - 2.0**-53)


def _product(values: Tensor, factors: Tensor, halves: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower 64 bits of products, `[2, n]` each, by the four products of their halves."""
    parts = torch.stack([values & _LOW, (values >> 32) & _LOW])
    products = halves * parts
    upper, lower = (products >> 32) & _LOW, products & _LOW
    carry = (upper[0, 0] + lower[0, 1] + lower[1, 0]) >> 32
    return products[1, 1] + upper[0, 1] + upper[1, 0] + carry, values * factors


def _columns(words: tuple[int, int], device: torch.device) -> Tensor:
    """Two words of 64 bits, `[2, 1]` int64."""
    first, second = (int(word) for word in np.array(words, dtype=np.uint64).view(np.int64))
    column = torch.full((2, 1), first, device=device)
    column[1] = second
    return column
