"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch


def describe(device: str, dtype: str) -> dict[str, Any]:
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


def load() -> float | None:
    """Processes that want a core, about; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
