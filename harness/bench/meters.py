"""What is measured: seconds by part, floating-point operations, and how many of them this machine can do in a second."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor


class Part(StrEnum):
    """Where time goes."""

    IMAGE = "image"
    """Reading, scaling and encoding images."""
    LM = "lm"
    """The language model, its cache included; for ZeroCap its gradients too."""
    TEXT = "text"
    """Ids and features of candidate texts."""
    REST = "rest"
    """Everything else: choosing, turning ids into words, keeping books."""


class Clock:
    """Seconds by part. A part within a part counts as the outer one.

    Args:
        synchronise: waits for the device; called wherever a part begins or ends.
    """

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[Part, float] = dict.fromkeys((Part.IMAGE, Part.LM, Part.TEXT), 0.0)
        self.on = True
        self._inside = False
        self._synchronise = synchronise

    @contextlib.contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """Count what happens in the block towards a part."""
        if self._inside or not self.on:
            yield
            return
        self._inside = True
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            self.seconds[name] += time.perf_counter() - start
            self._inside = False

    def take(self) -> dict[Part, float]:
        """The seconds counted so far; counting restarts at zero."""
        taken = self.seconds
        self.seconds = dict.fromkeys(taken, 0.0)
        return taken


def _watched() -> list[tuple[Any, str, Part]]:
    """The product's functions that do the work of a part."""
    from decoders.models.context import Context
    from decoders.models.image_text import ImageTextModel
    from decoders.models.language_model import LanguageModel
    from decoders.models.shifted_cache import ShiftedCache

    of_models = [(LanguageModel, "prefill", Part.LM), (torch.autograd, "grad", Part.LM)]
    of_contexts = [(Context, name, Part.LM) for name in ("advance", "look_ahead", "commit", "keep")]
    of_shifts = [(ShiftedCache, name, Part.LM) for name in ("__init__", "logits", "shifted_logits", "advance")]
    of_texts = [(ImageTextModel, name, Part.TEXT) for name in ("continuation_features", "candidate_features", "text_features")]
    return [*of_models, *of_contexts, *of_shifts, *of_texts, (ImageTextModel, "image_features", Part.IMAGE)]


@contextlib.contextmanager
def watching(clock: Clock) -> Iterator[None]:
    """While the block runs, the product's work counts towards the clock's parts."""
    with contextlib.ExitStack() as stack:
        for owner, name, part in _watched():
            stack.enter_context(_timed(owner, name, clock, part))
        yield


@contextlib.contextmanager
def _timed(owner: Any, name: str, clock: Clock, part: Part) -> Iterator[None]:
    plain = getattr(owner, name)

    @functools.wraps(plain)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.part(part):
            return plain(*args, **kwargs)

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, plain)


def synchroniser(device: str) -> Callable[[], None]:
    """Waits until a device has done what it was asked; nothing to wait for on a CPU."""
    return functools.partial(torch.cuda.synchronize, device) if device.startswith("cuda") else lambda: None


# ------------------------------------------------------------------------------------------------------- operations


def count_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, convolutions and attentions in `work`; a multiply-add is two.

    Counted are those that torch's counter knows, attention as torch does it for inference and on a CPU, and linear layers with
    weights packed for oneDNN.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, custom_mapping=_formulas())
    with counter:
        work()
    return int(counter.get_total_flops())


def _formulas() -> dict[Any, Any]:
    from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

    # torch's counter knows matrix products, convolutions and the GPU's attention kernels. What it does not know counts as zero,
    # so the kernels that decoding uses on a CPU are added here; a multiply-add is two operations.
    def attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]

    # A linear layer whose weight was laid out for oneDNN: the weight's first dimension is still the number of outputs.
    def linear(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
        rows = functools.reduce(lambda a, b: a * b, x[:-1], 1)
        return 2 * rows * x[-1] * weight[0]

    # The fused layer of torch's encoder: four projections of width x width, 2 * 4 * width^2 a token, and two products with the
    # attention matrix, 2 * 2 * length * width a token.
    def whole_attention(query: Sequence[int], *_: Any, **__: Any) -> int:
        batch, length, width = query
        return batch * length * width * (8 * width + 4 * length)

    formulas = {
        torch.ops.aten._native_multi_head_attention: whole_attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        formulas[torch.ops.mkldnn._linear_pointwise] = linear
    return formulas


# -------------------------------------------------------------------------------------------------------------- rate

RATE_SHAPES = ((2880, 512, 2048), (45, 768, 3072))
"""Rows, inner and outer width: a text tower's MLP over the candidates of 32 captions, a language model's over those of one."""


class MachineRate:
    """How fast this machine multiplies matrices of the shapes that decoding has, measured between the repeats.

    Args:
        dtypes: of the matrices, by name, such as `float32`.
        device: where.
    """

    def __init__(self, dtypes: Iterable[str], device: str) -> None:
        self._synchronise = synchroniser(device)
        self._work: dict[str, tuple[int, Callable[[], Tensor]]] = {}
        self._found: dict[str, list[float]] = {}
        for dtype, shape in itertools.product(dict.fromkeys(dtypes), RATE_SHAPES):
            rows, inner, outer = shape
            x = torch.randn(rows, inner, device=device).to(getattr(torch, dtype))
            weight = torch.randn(outer, inner, device=device).to(getattr(torch, dtype))
            name = f"{dtype} {'x'.join(map(str, shape))}"
            self._work[f"{name} plain"] = (2 * rows * inner * outer, functools.partial(torch.nn.functional.linear, x, weight))
            packed = _packed(x, weight)
            if packed is not None:
                self._work[f"{name} packed"] = 2 * rows * inner * outer, packed

    def measure(self, seconds: float = 0.1) -> None:
        """One more sample of each product."""
        for name, (flops, product) in self._work.items():
            product()
            self._synchronise()
            times, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                product()
                self._synchronise()
                times += 1
            self._found.setdefault(name, []).append(flops * times / (time.perf_counter() - start))

    def medians(self) -> dict[str, float]:
        """Operations a second of each product."""
        return {name: statistics.median(samples) for name, samples in self._found.items()}

    def best(self, dtype: str) -> float:
        """Operations a second of the fastest product in a dtype."""
        return max(rate for name, rate in self.medians().items() if name.startswith(f"{dtype} "))


def _packed(x: Tensor, weight: Tensor) -> Callable[[], Tensor] | None:
    """A linear layer whose weight is laid out for oneDNN; None where this torch cannot do that."""
    if x.device.type != "cpu":
        return None
    try:
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, len(x))
        product = functools.partial(torch.ops.mkldnn._linear_pointwise, x, laid_out, None, "none", [], "")
        product()
    except (AttributeError, NotImplementedError, RuntimeError):  # a private function of torch: it may go
        return None
    return product


# ------------------------------------------------------------------------------------------------------------ figures


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the smallest and largest of what it is the median of."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Of one sample or more."""
        return cls(statistics.median(samples), min(samples), max(samples))

    @property
    def percent(self) -> float:
        """Half the range, in percent of the median."""
        return 50 * (self.high - self.low) / self.median if self.median else 0.0


def describe_machine(device: str, dtype: str) -> dict[str, Any]:
    """The device with its name, processors, threads, torch's version and the arithmetic."""
    cuda = device.startswith("cuda")
    return {
        "device": device,
        "name": torch.cuda.get_device_name(device) if cuda else processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": dtype,
    }


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def system_load() -> float | None:
    """Processes that want a core, about; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
