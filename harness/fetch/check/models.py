"""What a suite names beside data: models, indices made with them, and the lock of what was fetched."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets.index.manifest import What, read_manifest
from harness.errors import RegistryError, SeeTellError, StoreError, SuiteError
from harness.fetch.check.findings import Finding, Progress
from harness.metrics import registry as metrics_registry
from harness.suites.settings import as_flags
from harness.suites.spec import Suite

if TYPE_CHECKING:  # which takes torch
    from decoders.models.names import Role

ROLES: dict[str, Role] = {"language_model": "language_model", "image_text": "image_text"}
"""What a model has to be, by its key in [models]; a metric's own model may be either."""


def check_models(suite: Suite, called: str, *, deep: bool = False) -> list[Finding]:
    """The suite's models, and those that its metrics bring along, each once.

    What a run will load is loaded, with the network blocked: tokenizers, configurations, image-text models; in a deep check the
    weights of language models too.
    """
    from harness.suites.sections import checked

    roles = {"language_model": suite.models.language_model, "image_text": suite.models.image_text}
    named = {name: role for role, name in roles.items() if name is not None}
    findings: list[Finding] = []
    for label, ref in suite.metrics.items():
        try:
            config = checked(metrics_registry().load(ref.metric or label).Config, ref.options, f"[metrics.{label}]")
        except (SuiteError, RegistryError) as error:
            findings.append(Finding(f"[metrics.{label}]", "problem", str(error), ("correct the suite",)))
            continue
        for name in config.own_models().values():
            named.setdefault(name, f"of [metrics.{label}]")
    findings += [_check_model(key, name, suite, called, deep=deep) for name, key in named.items()]
    if all(finding.level == "ok" for finding in findings):
        findings += [Finding("[text]", "note", note) for note in prompt_notes(suite)]
    return findings


def prompt_notes(suite: Suite) -> list[str]:
    """What is odd about the suite's prompt for its language model: special tokens that the tokenizer does not have.

    Raises:
        ModelNotFound, ModelMismatch: the language model's tokenizer cannot be loaded.
    """
    from decoders.models.special import looks_special, spelled_out

    name, prompt = suite.models.language_model, suite.text.prompt
    if name is None or not looks_special(prompt):
        return []
    from decoders.models.load import load_tokenizer
    from harness.datasets.digests import resolve_model

    tokenizer = load_tokenizer(resolve_model(name, suite.folder))
    return [
        f"prompt: {token!r} looks like a special token, but the tokenizer of {name} has none of that name and reads it as "
        f"{pieces} ordinary tokens; take a model that was trained with it, or write the prompt without it"
        for token, pieces in spelled_out(tokenizer, prompt).items()
    ]


def _check_model(key: str, name: str, suite: Suite, called: str, *, deep: bool) -> Finding:
    from decoders.models.load import check_model
    from decoders.models.names import model_digest
    from harness.datasets.digests import resolve_model

    try:
        role, resolved = ROLES.get(key), resolve_model(name, suite.folder)
        digest = model_digest(resolved, role)
        check_model(resolved, role, whole=deep)
    except SeeTellError as error:
        return Finding("[models]", "problem", f"{key}: {error}", _model_steps(key, name, suite, called))
    return Finding("[models]", "ok", f"{key}: {name}, content {digest.rpartition('@')[2][:12]}")


def check_lock(suite: Suite, called: str, progress: Progress) -> Finding:
    """Whether what was fetched is what the lock pins."""
    from harness.fetch.offline import check_fetched

    try:
        detail = check_fetched(suite, progress=lambda done, total: progress("checking the lock", done, total))
    except SeeTellError as error:
        return Finding("[lock]", "problem", str(error), (f"seetell prefetch {called}{as_flags(suite.settings)}",))
    return Finding("[lock]", "ok", detail)


def check_index(where: str, suite: Suite, folder: Path, what: What) -> list[Finding]:
    """Whether an index is there, whole, of the right things, and made with the model that the suite asks with."""
    from decoders.models.names import model_digest
    from harness.datasets.digests import resolve_model

    name = suite.models.image_text or "MODEL"
    source = "FOLDER" if what == "images" else "SUITE"
    steps: tuple[str, ...] = (f"seetell index {what} {source} --out {shlex.quote(str(folder))} --model {name}",)
    if what == "images":
        steps = ("put the images that titles may find into a FOLDER (or name a .zip, a .tar or shards)", *steps)
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        return [Finding(where, "problem", str(error), steps)]
    if manifest.what != what:
        return [Finding(where, "problem", f"{folder} is an index of {manifest.what}; expected one of {what}", steps)]
    detail = f"index: {folder}, {manifest.rows:,} {what}, made with {manifest.model.name}"
    if suite.models.image_text is not None:
        try:
            digest = model_digest(resolve_model(suite.models.image_text, suite.folder))
        except SeeTellError:
            return [Finding(where, "ok", f"{detail}; without {name} it cannot be checked that both are the same model")]
        if (digest, suite.run.dtype) != (manifest.model.digest, manifest.model.dtype):
            query = f"{name} ({suite.run.dtype}), and would be refused"
            return [Finding(where, "problem", f"{detail} ({manifest.model.dtype}); the suite asks with {query}", steps)]
    return [Finding(where, "ok", detail)]


def _model_steps(key: str, name: str, suite: Suite, called: str) -> tuple[str, ...]:
    scheme = name.partition(":")[0]
    if scheme in {"hf", "hf-hub", "open_clip"} or (scheme == "hf-clip" and "/" in name and not name.endswith("/")):
        return (f"seetell prefetch {called}{as_flags(suite.settings)}",)
    if key == "language_model":
        return ("save the model there, train one with `seetell train lm`, or change its name under [models]",)
    return (
        "save a model there (docs/models.md says what its folder holds), or name one of the hub, such as "
        "open_clip:ViT-B-32-quickgelu@openai, under [models]",
    )
