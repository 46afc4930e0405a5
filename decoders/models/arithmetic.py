"""One arithmetic for everything that decodes or scores, whatever the program around it has set."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def pinned_arithmetic(dtype: str = "float32") -> Iterator[None]:
    """Torch with float32 as its default dtype, without autocast and, unless `dtype` is `tf32`, without TF32.

    What was set before is put back.

    A program that uses SeeTell, or a plug-in on import, may have called `torch.set_default_dtype(torch.bfloat16)`; tensors made
    inside a decoder would follow it, and other texts would come out under the same identity.

    Args:
        dtype: of the run; every name but `tf32` means the same here.
    """
    if "torch" not in sys.modules:  # metrics of texts alone need none
        yield
        return
    import torch

    before = torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    # The CUDA switches alone: `set_float32_matmul_precision("high")` would let processors round too.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.backends.cudnn.allow_tf32 = before[2]
