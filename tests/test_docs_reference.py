"""docs/api.md, docs/decoders.md and docs/suites.md are what `make docs` makes of the code, and every key has a meaning."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from harness import datasets, metrics
from harness.suites import registry
from harness.suites.described import keys_of
from tests.harness.in_process import seetell_here

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The program that makes the pages."""
    spec = importlib.util.spec_from_file_location("reference_pages", DOCS / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "decoders.md", "suites.md"])
def test_the_page_is_current(pages: ModuleType, name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == pages.PAGES[name](), "`make docs` writes it anew"


def test_every_key_that_a_suite_may_have_is_explained(pages: ModuleType) -> None:
    models = list(pages.SECTIONS.values())
    models += [registry.decoders().load(name).Config for name in registry.decoders().entries]
    models += [metrics.registry().load(name).Config for name in metrics.registry().entries]
    models += [datasets.registry().load(name).Options for name in datasets.registry().entries]
    assert [f"{model.__name__}.{key.name}" for model in models for key in keys_of(model) if not key.meaning] == []


def test_a_decoder_shows_its_settings() -> None:
    shown = seetell_here("list", "magic").stdout
    assert "beta" in shown
    assert "Weight of the image" in " ".join(shown.replace("│", " ").split())
    wrong = seetell_here("list", "magi")
    assert wrong.returncode != 0
    assert "did you mean 'magic'" in wrong.stderr
