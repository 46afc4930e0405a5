"""A stand-in for a GPU: what decoding costs there, counted on a machine that has none.

    with stand_in_device() as device:
        models = fake_models(device=device.name)
        with device.counting() as counts:
            MyDecoder(config, models, limits).decode(prompts, seeds)
    assert counts.waits <= 2 * steps, counts.report()

A second kind of device is registered with torch (PrivateUse1). Its tensors hold numbers of the CPU, so values are the CPU's; the
rules are CUDA's: tensors of two devices do not mix, and numpy does not read them. What costs time on a GPU is counted: kernel
launches, moments at which the program waits for the device, and copies to and from it, with the line of code that caused each.

What it does not show: kernels and their order of summation, memory, streams, and CUDA's choice of attention kernels.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["Counts", "StandInDevice", "stand_in_device"]

_BACKEND = "card"
_CPU = torch.device("cpu")

# fmt: off
_FREE = frozenset({
    "_fused_sdp_choice", "_has_compatible_shallow_copy_type", "_local_scalar_dense", "_reshape_alias", "_unsafe_view", "alias",
    "as_strided", "chunk", "detach", "diagonal", "empty", "empty_like", "empty_strided", "expand", "is_same_size", "lift_fresh",
    "narrow", "new_empty", "new_empty_strided", "numel", "permute", "reshape", "resize_", "select", "set_", "slice", "split",
    "split_with_sizes", "squeeze", "sym_size", "t", "transpose", "unbind", "unfold", "unsqueeze", "view",
})
# fmt: on
"""Operators that launch no kernel: they make views or reserve memory."""
_WAITING = frozenset({
    "_local_scalar_dense", "_unique2", "equal", "is_nonzero", "item", "masked_select", "nonzero", "unique_consecutive",
    "unique_dim",
})  # fmt: skip
"""Operators whose result, or its shape, the host has to know before it continues."""
_INDEXING = frozenset({"_index_put_impl_", "_unsafe_index", "index", "index_put", "index_put_"})
_SETTING = frozenset({"_index_put_impl_", "index_put", "index_put_"})
_OURS = ("decoders", "harness", "seetell")
"""Packages whose lines are named as the cause, rather than those of the libraries that they call."""


@dataclass(slots=True)
class Counts:
    """What was done on the device.

    Attributes:
        launches: kernels started.
        waits: moments at which the host waits for the device: `.item()`, `.tolist()`, `bool(tensor)`, `nonzero`, indexing by a
            mask, and each download.
        uploads: copies to the device.
        downloads: copies from the device.
        uploaded: bytes of the uploads.
        downloaded: bytes of the downloads.
        lines: of each kind of event, how often which line caused it; kernels only where `device.counting(launch_lines=True)`
            asked for them.
    """

    launches: int = 0
    waits: int = 0
    uploads: int = 0
    downloads: int = 0
    uploaded: int = 0
    downloaded: int = 0
    lines: dict[str, Counter[str]] = field(default_factory=dict)

    def report(self, most: int = 12) -> str:
        """The numbers, and the lines that caused the most events of each kind."""
        parts = [
            f"{self.launches} launches, {self.waits} waits, {self.uploads} uploads ({self.uploaded} bytes), "
            f"{self.downloads} downloads ({self.downloaded} bytes)"
        ]
        for kind, lines in self.lines.items():
            parts += [f"{count:7} {kind} at {line}" for line, count in lines.most_common(most)]
        return "\n".join(parts)


class StandInDevice:
    """The device while it is active; see `stand_in_device`.

    Attributes:
        name: what to give as `device`.
    """

    name = f"{_BACKEND}:0"

    def __init__(self) -> None:
        self._counts: list[Counts] = []
        self._launch_lines = False

    @contextmanager
    def counting(self, *, launch_lines: bool = False) -> Iterator[Counts]:
        """Count until the block ends.

        Args:
            launch_lines: name the line of each kernel too, which takes time.
        """
        counts, before = Counts(), self._launch_lines
        self._counts.append(counts)
        self._launch_lines = launch_lines or before
        try:
            yield counts
        finally:
            self._counts.remove(counts)
            self._launch_lines = before

    def _note(self, kind: str, size: int = 0, times: int = 1) -> None:
        if not self._counts:
            return
        line = "" if kind == "launches" and not self._launch_lines else _cause(sys._getframe(1))
        for counts in self._counts:
            setattr(counts, kind, getattr(counts, kind) + times)
            if kind in ("uploads", "downloads"):
                total = kind[:-1] + "ed"
                setattr(counts, total, getattr(counts, total) + size)
            if line:
                counts.lines.setdefault(kind, Counter())[line] += times

    def _upload(self, values: Tensor) -> None:
        self._note("uploads", values.numel() * values.element_size())

    def _download(self, values: Tensor) -> None:
        self._note("waits")
        self._note("downloads", values.numel() * values.element_size())


_active: list[StandInDevice] = []


def _device() -> StandInDevice:
    if not _active:
        raise RuntimeError("the stand-in device computes inside `with stand_in_device()` alone")
    return _active[-1]


def _cause(frame: FrameType | None) -> str:
    """The innermost line of SeeTell's packages that led here; outside of them, the innermost line of the caller's own file."""
    first = ""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        name = frame.f_globals.get("__name__")
        if name != __name__ and package not in ("torch", "contextlib"):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
            if package in _OURS:
                return line
            first = first or line
        frame = frame.f_back
    return first


class _Card(torch.Tensor):
    """A tensor on the stand-in device; its numbers are in `host`, on the CPU."""

    host: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> _Card:
        made: _Card = torch.Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            layout=values.layout, device=torch.device(StandInDevice.name), requires_grad=False,
        )  # fmt: skip
        made.host = values
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"_Card({self.host!r})"

    def tolist(self) -> Any:
        """The numbers, which have to be waited for."""
        _device()._download(self.host)
        return self.host.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        """Refused, as CUDA refuses it."""
        raise TypeError(f"can't convert {StandInDevice.name} device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _plain(value: Any) -> Any:
    return value.host if isinstance(value, _Card) else value


def _wrapped(value: Any) -> Any:
    return _Card(value) if isinstance(value, Tensor) and not isinstance(value, _Card) else value


def _is_card(device: Any) -> bool:
    return device is not None and torch.device(device).type == _BACKEND


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operator of torch, on the CPU's numbers and under CUDA's rules."""
    name = func._schema.name.split("::")[-1]
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    cards = [value for value in tensors if isinstance(value, _Card)]
    wanted = kwargs.get("device")
    if name == "_to_copy":
        return _copied(func, args[0], kwargs)
    if name in ("copy_", "copy"):
        return _copied_into(func, args, kwargs)
    if name == "_fused_sdp_choice" and cards:
        return 0
    if not cards and not _is_card(wanted):
        return func(*args, **kwargs)
    device = _device()
    _refuse_mixture(func, name, args, tensors)
    if wanted is not None:
        kwargs = {**kwargs, "device": _CPU}
    if name in _WAITING or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        device._note("waits")
    elif name in _INDEXING and any(_is_mask(index) for index in args[1] or ()):
        # A mask becomes places, whose number the host must know; one number put where a mask is True needs no places.
        if name not in _SETTING or len(args[1]) > 1 or args[2].numel() != 1:
            device._note("waits")
        device._note("launches", times=2)
    if name not in _FREE:
        device._note("launches")
    result = func(*tree_map(_plain, args), **tree_map(_plain, kwargs))
    if wanted is not None and not _is_card(wanted):  # a new tensor on the CPU, shaped like one of the device
        return result
    result = tree_map(_wrapped, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if cards else result  # type: ignore[no-untyped-call]


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _refuse_mixture(func: Any, name: str, args: Any, tensors: Sequence[Tensor]) -> None:
    """Raise where CUDA would: tensors of two devices, but for single numbers and for indices, which are copied."""
    for value in tensors:
        if isinstance(value, _Card) or value.dim() == 0:
            continue
        if name in _INDEXING and any(value is index for index in args[1] or ()):
            _device()._upload(value)
            continue
        devices = [str(tensor.device) for tensor in tensors]
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {devices} in {func}")


def _copied(func: Any, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """`source.to(...)`, to another device or another dtype."""
    wanted = kwargs.get("device")
    to_card = isinstance(source, _Card) if wanted is None else _is_card(wanted)
    if wanted is not None:
        kwargs = {**kwargs, "device": _CPU}
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    result: Tensor = func(_plain(source), **kwargs)
    if isinstance(source, _Card) and not to_card:
        _device()._download(result)
    elif to_card and not isinstance(source, _Card):
        _device()._upload(result)
    elif to_card:
        _device()._note("launches")
    return _Card(result) if to_card else result


def _copied_into(func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """`target.copy_(source)`."""
    target: Tensor = args[0]
    source: Tensor = args[1]
    on_card = isinstance(target, _Card)
    if on_card != isinstance(source, _Card) and source.dim():
        (_device()._upload if on_card else _device()._download)(_plain(source))
    elif on_card:
        _device()._note("launches")
    func(_plain(target), _plain(source), *args[2:], **kwargs)
    return target


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operators that no tensor of the device is part of, such as copies to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@cache
def _registered() -> Any:
    """Register the device with torch, which cannot be undone; once a process."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(_BACKEND)
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]

    def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
        return _Card(torch.empty_strided(size, stride, dtype=dtype))

    def empty(size: Any, *, dtype: Any = None, **_: Any) -> Tensor:
        return _Card(torch.empty(size, dtype=dtype))

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        return _copied_into(torch.ops.aten.copy_.default, (target, source), {})

    library.impl("empty_strided", empty_strided, "PrivateUse1")  # type: ignore[no-untyped-call]
    library.impl("empty.memory_format", empty, "PrivateUse1")  # type: ignore[no-untyped-call]
    library.impl("_copy_from", copy_from, "PrivateUse1")  # type: ignore[no-untyped-call]
    return library  # whose end would take the operators back


@contextmanager
def stand_in_device() -> Iterator[StandInDevice]:
    """Make the device available inside the block, where decoders, metrics and training take its `name` as `device`.

    The first call registers it with torch for the rest of the process. In a test suite, that is best left to a process of its
    own.
    """
    _registered()
    device = StandInDevice()
    usual_tensor, usual_to = torch.tensor, nn.Module.to
    _active.append(device)
    torch.tensor = _tensor_maker(usual_tensor)
    nn.Module.to = _mover(usual_to)  # type: ignore[method-assign, assignment]
    try:
        with _Mode():  # type: ignore[no-untyped-call]
            yield device
    finally:
        torch.tensor, nn.Module.to = usual_tensor, usual_to  # type: ignore[method-assign]
        _active.remove(device)


def _tensor_maker(usual: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.tensor`, which does not ask modes, for the stand-in too."""

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        if not _is_card(device):
            return usual(data, device=device, **options)
        return usual(data, **options).to(StandInDevice.name)

    return tensor


def _mover(usual: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """`Module.to` that keeps tied weights tied: torch makes a new parameter of each, as it need not do on a real device."""

    def to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        places = [
            (part, name, id(weight))
            for part in module.modules()
            for name, weight in part._parameters.items()
            if weight is not None
        ]
        # New parameters instead of new data in the old ones, which a tensor of the stand-in would not take over.
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            moved = usual(module, *args, **kwargs)
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)
        for _, tied in itertools.groupby(sorted(places, key=lambda place: place[2]), key=lambda place: place[2]):
            (first, first_name, _), *others = tied
            for part, name, _ in others:
                part._parameters[name] = first._parameters[first_name]
        return moved

    return to
