"""Devices: which one to use, what it is called, and what to do when its memory is full.

`Fit` is the one answer to full memory: whoever computes in batches asks it for the batches. It halves a batch that does not fit,
after everything that the failed attempt held has been let go, and lets the batches grow again later.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from decoders.errors import ModelMismatch

if TYPE_CHECKING:
    import torch

# torch is imported where it is used: planning and counting words does without.

Result = TypeVar("Result")


class _Sliceable(Protocol):
    """A list, a tensor, an array: anything a batch can be cut from."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Items = TypeVar("Items", bound=_Sliceable)

DEVICES = "auto, cpu, cuda or one CUDA device by its number, such as cuda:0"
"""What `--device` takes, for messages."""

_FULL = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""What messages of full memory contain: CUDA's own (`CUDA error: out of memory`), the CPU allocator's, and those of CUDA's
libraries (`CUBLAS_STATUS_ALLOC_FAILED`, `CUDNN_STATUS_ALLOC_FAILED`)."""

_GROWS_AFTER = 8
"""Batches that have to fit before a larger one is tried."""


def pick_device(wanted: str) -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`; other names stay, once they are checked.

    Raises:
        ModelMismatch: as `check_device`.
    """
    if wanted == "auto":
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device(wanted)
    return wanted


def device_here(wanted: str) -> str:
    """A device where this machine has it, else what `auto` picks: for work that the driver of a cluster does itself."""
    try:
        return pick_device(wanted)
    except ModelMismatch:
        check_kind(wanted)
        return pick_device("auto")


def check_device(name: str) -> None:
    """Refuse a device that SeeTell does not compute on, or that this machine does not have.

    Raises:
        ModelMismatch: naming the device, what is there, and the remedy.
    """
    import torch

    device = check_kind(name)
    if device.type != "cuda":
        return
    present = torch.cuda.device_count()
    if present == 0:
        raise ModelMismatch(f"device {name!r} is not available: torch {torch.__version__} sees no CUDA device; use cpu, or auto")
    if (device.index or 0) >= present:
        available = "cuda:0" if present == 1 else f"cuda:0 to cuda:{present - 1}"
        raise ModelMismatch(
            f"device {name!r} is not available: this machine has {present} CUDA device(s); use {available}, or auto"
        )


def check_kind(name: str) -> torch.device:
    """The device of a name; whether this machine has it is not checked, since another one may compute.

    Raises:
        ModelMismatch: no device, or one of a kind that SeeTell does not compute on.
    """
    import torch

    if name.partition(":")[0] == "gpu":
        raise ModelMismatch(f"device {name!r} is called {'cuda' + name[3:]!r} by torch; expected {DEVICES}")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelMismatch(f"{name!r} is no device; expected {DEVICES}") from error
    if device.type == "mps":
        raise ModelMismatch(
            f"device {name!r} is not supported: sampling draws in float64, which Apple's mps does not have; use cpu"
        )
    # A backend that somebody registered with torch under its own name (PrivateUse1) is taken at its word.
    if device.type not in ("cpu", "cuda", torch._C._get_privateuse1_backend_name()):
        raise ModelMismatch(f"device {name!r} is not supported; expected {DEVICES}")
    return device


def full_name(name: str) -> str:
    """The one name of a device: `cuda` is the card that torch computes on now, and there is one `cpu`."""
    import torch

    device = torch.device(name)
    if device.type == "cpu":
        return "cpu"
    if device.type == "cuda" and ":" not in name:
        return f"cuda:{torch.cuda.current_device()}"
    return f"{device.type}:{device.index or 0}"


def is_memory_error(error: BaseException) -> bool:
    """Whether an error means that memory is full: CUDA's allocator has a class for it, everything else only a message."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


_releases: list[Callable[[], None]] = []


def on_full_memory(release: Callable[[], None]) -> None:
    """Have something called that can do without some of its memory, whenever memory is full."""
    _releases.append(release)


def free_memory() -> None:
    """Let go of everything that is kept only to save time, and give torch's spare memory back to the device."""
    import torch

    for release in _releases:
        release()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class _Full:
    """An attempt that failed for lack of memory; nothing of it is held any more but its error, without its frames."""

    error: MemoryError | RuntimeError


@dataclass(frozen=True, slots=True)
class _Done(Generic[Result]):
    """An attempt that succeeded."""

    result: Result


def _attempt(work: Callable[[], Result]) -> _Done[Result] | _Full:
    """Try something. On return from an attempt that ran out of memory, the tensors in its frames are gone."""
    outer = sys.exception()
    try:
        return _Done(work())
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        full = _Full(error)
        _drop_frames(error, outer)
    # The exception's own frames end with the except block, so only here can the memory come back.
    free_memory()
    return full


def _drop_frames(error: BaseException, outer: BaseException | None) -> None:
    """Let go of the frames that an error, and what led to it, went through, and of the tensors in them."""
    link: BaseException | None = error
    while link is not None and link is not outer:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


class Fit:
    """How many items fit into memory at once, learnt from what did not.

    Attributes:
        limit: items at once; None while nothing has failed.
    """

    def __init__(self, notice: Callable[[int, int], None] | None = None) -> None:
        """Start without a limit.

        Args:
            notice: called with the items that did not fit together and how many are tried next.
        """
        self.limit: int | None = None
        self._notice = notice or _log
        self._fitted = 0
        self._grown = self._alone = False
        self._grows_after = _GROWS_AFTER

    def batches(self, items: Items, size: int, compute: Callable[[Items], Result]) -> Iterator[Result]:
        """Compute items batch by batch, in order; a batch that does not fit is halved, and so are those that follow.

        Args:
            items: all that is to be computed.
            size: items at once if they fit.
            compute: gives the result of some items; called again for items that did not fit together.

        Raises:
            MemoryError, RuntimeError: one item alone does not fit.
        """
        start = 0
        while start < len(items):
            batch: Items = items[start : start + self._now(size)]
            outcome = _attempt(lambda batch=batch: compute(batch))  # type: ignore[misc]
            if isinstance(outcome, _Full):
                self._halve(len(batch), outcome.error)
                continue
            start += len(batch)
            self._count(len(batch), size)
            yield outcome.result

    def at_once(self, size: int, compute: Callable[[int], Result]) -> Result:
        """What `compute` gives when it may take so many items at once, half as many each time that memory is full.

        Raises:
            MemoryError, RuntimeError: not even one item at a time fits.
        """
        while True:
            now = self._now(size)
            outcome = _attempt(lambda now=now: compute(now))  # type: ignore[misc]
            if isinstance(outcome, _Done):
                self._count(now, size)
                return outcome.result
            self._halve(now, outcome.error)

    def _now(self, size: int) -> int:
        return max(1, size if self.limit is None else min(size, self.limit))

    def _halve(self, items: int, error: MemoryError | RuntimeError) -> None:
        if items <= 1:
            if self._alone:
                raise error
            self._alone = True  # once more: what was kept to save time is gone now
            return
        if self._grown:  # it was tried and is still too much, so the next attempt comes later
            self._grows_after *= 2
        self.limit, self._fitted, self._grown = items // 2, 0, False
        self._notice(items, self.limit)

    def _count(self, items: int, size: int) -> None:
        """Note a batch that fitted. Memory that was full for one long text, or for another program's sake, may be free again."""
        self._alone = False
        if self.limit is None or items < self.limit:
            return
        self._fitted += 1
        if self._fitted >= self._grows_after:
            self.limit, self._fitted, self._grown = 2 * self.limit, 0, True
            if self.limit >= size:
                self.limit = None


def _log(items: int, smaller: int) -> None:
    logging.getLogger(__name__).info("out of memory with %d at once; continuing with %d", items, smaller)
