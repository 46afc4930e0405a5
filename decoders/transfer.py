"""Copies between the host and a device, few and packed: each costs a moment, whatever its size.

On a CPU nothing is copied. On a GPU the host does not wait for an upload: it goes from pinned memory, in the order of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNED = 8
"""Every array of a packed copy starts at a multiple of so many bytes, which all dtypes can be read from."""
_DTYPES = {"bool": torch.bool, "int64": torch.int64, "float32": torch.float32}


def upload(arrays: Sequence[NDArray[Any]], device: torch.device) -> list[Tensor]:
    """Arrays as tensors on a device, in one copy for all of them."""
    if device.type == "cpu":
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    starts = np.cumsum([0, *(-(-array.nbytes // _ALIGNED) * _ALIGNED for array in arrays)]).tolist()
    packed = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    host = packed.numpy()
    for start, array in zip(starts, arrays, strict=False):
        host[start : start + array.nbytes] = np.frombuffer(array.tobytes(), dtype=np.uint8)
    on_device = packed.to(device, non_blocking=True)
    return [
        on_device[start : start + array.nbytes].view(_DTYPES[array.dtype.name]).view(array.shape)
        for start, array in zip(starts, arrays, strict=False)
    ]


def download(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Tensors of one device as arrays, in one copy for all of them; the host waits for it once."""
    if tensors[0].device.type == "cpu":
        return [tensor.numpy() for tensor in tensors]
    packed = torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor in tensors]).cpu().numpy()
    arrays, start = [], 0
    for tensor in tensors:
        kind = np.dtype(str(tensor.dtype).removeprefix("torch."))
        arrays.append(np.frombuffer(packed[start : start + tensor.nbytes].tobytes(), kind).reshape(tensor.shape))
        start += tensor.nbytes
    return arrays


def upload_ids(ids: Sequence[int], device: torch.device) -> Tensor:
    """Some whole numbers on a device, `[n]` int64."""
    return upload([np.asarray(ids, dtype=np.int64)], device)[0]
