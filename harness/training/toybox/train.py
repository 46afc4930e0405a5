"""Train every Toybox model from random weights, check it, and record how it was made."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelMismatch
from harness.store.runs import write_json
from harness.suites.provenance import environment
from harness.training import Adaptation
from harness.training.toybox.clip import ClipRecipe, train_clip
from harness.training.toybox.gates import GATES, measure
from harness.training.toybox.language import RECIPES, Domain, LanguageRecipe, train_language_model

PARTS = ("clip", "plain", "ornate", "stories")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ToyboxRecipe:
    """Everything that decides the weights but the seed."""

    clip: ClipRecipe = field(default_factory=ClipRecipe)
    language: Mapping[Domain, LanguageRecipe] = field(default_factory=lambda: dict(RECIPES))
    gate_scenes: int = 150
    """Dev scenes of each domain that the gates are measured on."""
    gates: bool = True
    """Whether weights that fail a gate are an error."""

    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def quick() -> ToyboxRecipe:
    """The whole recipe in a few seconds, to see that it runs; the models it gives know nothing."""
    clip = ClipRecipe(groups=20, naming_steps=2, joint_steps=7, batch_groups=2)
    few = Adaptation(steps=3, batch_size=8)
    language = {domain: replace(full, scenes=40, layers=1, adaptation=few) for domain, full in RECIPES.items()}
    return ToyboxRecipe(clip, language, gate_scenes=5, gates=False)


def train_toybox(
    out: Path, *, parts: Sequence[str] = PARTS, seed: int = 0, recipe: ToyboxRecipe | None = None, progress: Say = lambda _: None
) -> dict[str, Any]:
    """Train models, measure them, and write weights and manifest.

    Args:
        out: a folder; each part gets one inside, and `manifest.json` tells about all parts made with this seed and recipe.
        parts: which of `clip`, `plain`, `ornate`, `stories`.
        seed: everything random follows from it.
        recipe: sizes and lengths; those of the shipped models by default.
        progress: prints the progress.

    Returns:
        The manifest.

    Raises:
        ModelMismatch: the CLIP misses a gate; the weights and the manifest are there to look at.
    """
    recipe = recipe or ToyboxRecipe()
    manifest = _read(out / "manifest.json")
    if (manifest.get("seed"), manifest.get("recipe")) != (seed, recipe.digest()):
        manifest = {}  # parts that were made otherwise are not vouched for
    figures: dict[str, Any] = manifest.get("figures", {})
    minutes: dict[str, float] = manifest.get("minutes", {})
    for part in parts:
        start = time.perf_counter()
        if part == "clip":
            train_clip(out / part, recipe.clip, seed, progress)
            minutes[part] = _minutes(start)
            figures[part] = check_clip(out / part, recipe.gate_scenes)
        else:
            domain: Domain = part  # type: ignore[assignment]
            figures[part] = {"perplexity": train_language_model(out / part, domain, recipe.language[domain], seed, progress)}
            minutes[part] = _minutes(start)
        summary = ", ".join(f"{name} {value:.3f}" for name, value in figures[part].items())
        progress(f"{part}: {summary} ({minutes[part]:.1f} minutes)")
    manifest = {
        "seed": seed,
        "recipe": recipe.digest(),
        "gates": GATES,
        "figures": figures,
        "minutes": minutes,
        "environment": environment()["packages"],
        "files": _files(out, [part for part in PARTS if part in figures]),
    }
    write_json(out / "manifest.json", manifest)
    if recipe.gates and "clip" in parts:
        missed = [
            f"{gate} is {figures['clip'][gate]:.3f}, below {least}"
            for gate, least in GATES.items()
            if figures["clip"][gate] < least
        ]
        if missed:
            raise ModelMismatch(
                f"the CLIP in {out / 'clip'} misses a gate: {'; '.join(missed)}. Train longer or with another seed"
            )
    return manifest


def check_clip(folder: Path, scenes_per_style: int = 150) -> dict[str, float]:
    """Gate figures of a CLIP folder, loaded as a run would load it."""
    from decoders.models.load import load_image_text

    model = load_image_text(f"local-dir:{folder.resolve()}", dtype="float32", device="cpu")

    def similarity(image: bytes, texts: Sequence[str]) -> NDArray[np.float32]:
        cosines: NDArray[np.float32] = (model.text_features(texts) @ model.image_features([image])[0]).numpy()
        return cosines

    return measure(similarity, scenes_per_style)


def _files(out: Path, parts: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file of some parts, by its path inside the folder."""
    paths = (file for part in parts for file in sorted((out / part).glob("*")))
    return {file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in paths}


def _read(manifest: Path) -> dict[str, Any]:
    if not manifest.is_file():
        return {}
    content: dict[str, Any] = json.loads(manifest.read_bytes())
    return content


def _minutes(start: float) -> float:
    return round((time.perf_counter() - start) / 60, 1)
