"""What several tests share: the tiny checkpoints, written once a session, and the skips for what a machine may lack."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Server, running

# Some of the libraries would ask the network for files that the tests write themselves.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each processor; more threads than that only wait for each other
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_finish() -> None:
    """Leave the libraries that were imported by now out of garbage collection, which else walks their million objects again and
    again: a fifteenth of the processor time of all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying so, what needs a Java runtime where there is none."""
    if shutil.which("java") is None:
        for item in items:
            if item.get_closest_marker("java") is not None:
                item.add_marker(pytest.mark.skip(reason="needs a Java runtime on PATH; none is there"))


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """No test leaves its environment behind: a command that runs in this process may cut it off from the network for good."""
    environment = dict(os.environ)
    yield
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)
    for module in ("huggingface_hub.constants", "datasets.config"):  # which read the variable when they were imported
        if module in sys.modules:
            sys.modules[module].HF_HUB_OFFLINE = environment.get("HF_HUB_OFFLINE") == "1"  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published results that lies beside a checkout; tests that need it are skipped without."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the published results in {SHARED}, which is not there")
    return SHARED


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real PostgreSQL, started for this session of tests; `postgres.fresh()` is the URL of an empty database."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the tiny checkpoints of this session are written to, each on first use."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def gpt2_folder(checkpoints: Path) -> Path:
    """A tiny GPT-2 with the caption tokens."""
    from tests.checkpoints import write_gpt2

    return write_gpt2(checkpoints / "gpt2")


@pytest.fixture(scope="session")
def llama_folder(checkpoints: Path) -> Path:
    """A tiny Llama."""
    from tests.checkpoints import write_llama

    return write_llama(checkpoints / "llama")


@pytest.fixture(scope="session")
def qwen_folder(checkpoints: Path) -> Path:
    """A tiny Qwen3, which has no start token."""
    from tests.checkpoints import write_qwen

    return write_qwen(checkpoints / "qwen")


@pytest.fixture(scope="session")
def bert_folder(checkpoints: Path) -> Path:
    """A tiny BERT with a pooler: a sentence encoder."""
    from tests.checkpoints import write_bert

    return write_bert(checkpoints / "bert")


@pytest.fixture(scope="session")
def clip_folder(checkpoints: Path) -> Path:
    """A tiny CLIP."""
    from tests.checkpoints import write_open_clip

    return write_open_clip(checkpoints / "clip")


@pytest.fixture(scope="session")
def siglip_folder(checkpoints: Path) -> Path:
    """A tiny image-text model without a causal mask."""
    from tests.checkpoints import write_siglip_like

    return write_siglip_like(checkpoints / "siglip")


@pytest.fixture(scope="session")
def image_files(checkpoints: Path) -> list[Path]:
    """Twelve images, JPEG and PNG."""
    from tests.checkpoints import write_images

    return write_images(checkpoints / "images", 12)
