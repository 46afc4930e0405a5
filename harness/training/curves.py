"""The losses of a training as a picture."""

from __future__ import annotations

import io
from itertools import pairwise

from harness.training.checkpoint import Losses

_TRAIN, _VAL = "#9aa5b1", "#1d6fd1"


def picture(losses: Losses, margin: float) -> bytes:
    """Both losses against updates, of training batches (averaged between two looks) and of validation texts.

    Args:
        losses: how the training went.
        margin: ρ; at 0 there is no second panel.

    Returns:
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [("likelihood", "nats a token")] + ([("contrast", "contrastive loss")] if margin > 0 else [])
    figure = Figure(figsize=(5 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (key, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        steps, means = _means(losses, number)
        axes.plot(steps, means, color=_TRAIN, label="training batches", marker="." if len(steps) < 30 else "")
        points = [(evaluation["step"], evaluation[key]) for evaluation in losses.evaluations]
        axes.plot(*zip(*points, strict=True), color=_VAL, label="validation texts", marker="." if len(points) < 30 else "")
        if losses.best is not None:
            axes.axvline(losses.best, color=_VAL, linestyle=":", linewidth=1, label=f"kept: update {losses.best}")
        axes.set_xlabel("updates")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _means(losses: Losses, number: int) -> tuple[list[float], list[float]]:
    """One of the losses of training batches, as means between two evaluations, at the later one's update."""
    looks = [int(evaluation["step"]) for evaluation in losses.evaluations]
    steps, means = [], []
    for start, stop in pairwise(looks):
        between = [update[number] for update in losses.updates[start:stop]]
        if between:
            steps.append(float(stop))
            means.append(sum(between) / len(between))
    return steps, means
