"""Lets torchvision be imported beside a torch that its compiled operators were not built for.

The package index pairs a CPU build of torch with a torchvision wheel built for CUDA. Its shared library then cannot be
loaded, `import torchvision` stops with "operator torchvision::nms does not exist", and open_clip and parts of transformers
stop with it. torchvision only asks at import time that the *schemas* of two operators (non-maximum suppression, plain and
quantised) exist. Captioning never calls either, so declaring the schemas is enough; calling one still fails, saying that it
has no kernel.
"""

from __future__ import annotations

import threading
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_Library: Any = torch.library.Library  # untyped in torch
_lock = threading.Lock()
_library: list[Any] = []  # dropping the handle would drop the schemas with it


def ensure() -> bool:
    """Make `import torchvision` work; call it before importing open_clip, transformers or torchvision.

    Cheap and idempotent. Where torchvision's own operators load, they are used and nothing is declared; where torchvision
    is not installed, nothing happens.

    Returns:
        True if schemas had to be declared (now or by an earlier call), False if torchvision is whole or absent.
    """
    with _lock:
        if _library:
            return True
        if find_spec("torchvision") is None or _own_operators():
            return False
        library = _Library("torchvision", "FRAGMENT")  # a fragment: another project's may exist beside it
        _library.append(library)
        for name, schema in SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(schema)
        return True


def _own_operators() -> bool:
    """Whether both operators are registered, after giving torchvision's shared library the chance to do so."""
    load: Any = torch.ops.load_library
    if not _registered():
        spec = find_spec("torchvision")
        names = [f"_C{suffix}" for suffix in EXTENSION_SUFFIXES]
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec is not None else []
        for path in (folder / name for folder in folders for name in names if (folder / name).is_file()):
            try:
                load(str(path))
            except OSError:  # built for another torch: exactly what this module is for
                continue
    return _registered()


def _registered() -> bool:
    return all(hasattr(torch.ops.torchvision, name) for name in SCHEMAS)
