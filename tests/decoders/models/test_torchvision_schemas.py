"""open_clip imports whether or not torchvision's compiled operators can be loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from decoders.models import torchvision_schemas

ROOT = Path(__file__).resolve().parents[3]


def run(code: str, *first_on_path: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in (*first_on_path, ROOT))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def without_operators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the installed torchvision that lacks its shared libraries, as good as one built for another torch."""
    spec = find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    folder = tmp_path_factory.mktemp("site")
    ignore = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(spec.origin).parent, folder / "torchvision", ignore=ignore)
    return folder


PRESENT = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl(name, lambda dets, scores, threshold: torch.tensor([42]), "CPU")
"""
"""What torchvision's library does to torch when it can be loaded: schemas and kernels."""


def test_operators_absent(without_operators: Path) -> None:
    mended = run(
        "from decoders.models import torchvision_schemas\n"
        "assert torchvision_schemas.ensure() is True\n"
        "assert torchvision_schemas.ensure() is True\n"
        "import torchvision, open_clip, transformers\n"
        f"assert torchvision.__file__.startswith({str(without_operators)!r})\n"
        "import torch\n"
        "try: torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), .5)\n"
        "except NotImplementedError: print('no kernel')\n",
        without_operators,
    )
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout == "no kernel\n"


def test_after_a_failed_import(without_operators: Path) -> None:
    code = (
        "try: import torchvision\n"
        "except RuntimeError as error: print(error)\n"
        "from decoders.models import torchvision_schemas\n"
        "assert torchvision_schemas.ensure()\n"
        "import torchvision\n"
    )
    result = run(code, without_operators)
    assert result.returncode == 0, result.stderr
    assert "torchvision::nms does not exist" in result.stdout


def test_operators_present(without_operators: Path) -> None:
    code = PRESENT + (
        "from decoders.models import torchvision_schemas\n"
        "assert torchvision_schemas.ensure() is False\n"
        "import torchvision\n"
        "print(torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), .5).item())\n"
    )
    result = run(code, without_operators)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "42\n"


def test_the_installed_torchvision() -> None:
    """In this process, where whoever came first has declared the schemas if they were missing."""
    declared = torchvision_schemas.ensure()
    import open_clip  # noqa: F401
    from torchvision.extension import _has_ops

    assert declared is not _has_ops()
