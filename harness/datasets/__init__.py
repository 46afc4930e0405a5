"""Where examples come from; one module a format. Registered under the entry-point group `seetell.datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.suites.registry import Registry

if TYPE_CHECKING:  # listing plug-ins imports none of what they build on
    from harness.datasets.base import Dataset


def registry() -> Registry[Dataset]:
    """Everything registered under `seetell.datasets`."""
    return Registry("seetell.datasets", "harness.datasets.base:Dataset", "dataset")
