"""One arithmetic for everything that decodes or scores, whatever the program around it has set."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def pinned_arithmetic() -> Iterator[None]:
    """Torch with float32 as its default dtype, without TF32 and autocast; what was set before is put back.

    A program that uses SeeTell, or a plug-in on import, may have called `torch.set_default_dtype(torch.bfloat16)`; tensors made
    inside a decoder would follow it, and other texts would come out under the same identity.
    """
    if "torch" not in sys.modules:  # metrics of texts alone need none
        yield
        return
    import torch

    before = torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.backends.cudnn.allow_tf32 = before[2]
