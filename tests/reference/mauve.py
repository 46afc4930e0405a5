"""MAUVE of two histograms as Pillutla et al. 2021 (arXiv 2102.01454) define it, one mixture after the other, in plain Python.

Equation 1: the curve of (exp(-c KL(Q|R)), exp(-c KL(P|R))) over mixtures R = w P + (1 - w) Q. Equation 2: the area under it,
here the mean of the areas seen from either axis, by trapezia between neighbouring mixtures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def divergence(p: Sequence[float], r: Sequence[float]) -> float:
    """KL(p|r) in nats; r is nowhere 0 where p is not."""
    return math.fsum(a * math.log(a / b) for a, b in zip(p, r, strict=True) if a > 0)


def mauve(p: Sequence[float], q: Sequence[float], *, scale: float = 5.0, points: int = 25) -> float:
    """MAUVE of two lists of counts."""
    p, q = [each / sum(p) for each in p], [each / sum(q) for each in q]
    curve = [(1.0, 0.0)]
    for number in range(points):
        w = 1e-6 + number * (1 - 2e-6) / (points - 1)
        r = [w * a + (1 - w) * b for a, b in zip(p, q, strict=True)]
        curve.append((math.exp(-scale * divergence(q, r)), math.exp(-scale * divergence(p, r))))
    curve.append((0.0, 1.0))
    across = up = 0.0
    for (x, y), (next_x, next_y) in pairwise(curve):
        across += (x - next_x) * (y + next_y) / 2
        up += (next_y - y) * (x + next_x) / 2
    return (across + up) / 2
