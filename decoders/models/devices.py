"""Questions about devices: which one to use, whether an error means that its memory is full, and how to free that memory."""

from __future__ import annotations

# torch is imported where it is used: planning and counting words does without.


def pick_device(wanted: str) -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`; other names stay."""
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def is_memory_error(error: BaseException) -> bool:
    """Whether an error means that memory is full: CUDA has a class for it, the CPU allocator only a message."""
    import torch

    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def empty_device_cache() -> None:
    """Give memory that torch keeps for later back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
