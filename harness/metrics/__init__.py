"""Metrics as rows and finalisers; one module a family. Registered under the entry-point group `seetell.metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.suites.registry import Registry

if TYPE_CHECKING:  # listing plug-ins imports none of what they build on
    from harness.metrics.base import Metric


def registry() -> Registry[Metric]:
    """Everything registered under `seetell.metrics`."""
    return Registry("seetell.metrics", "harness.metrics.base:Metric", "metric")
