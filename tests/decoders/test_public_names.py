"""The public face of `decoders`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import decoders


def test_every_public_name_is_there_and_comes_from_the_package() -> None:
    assert sorted(decoders.__all__) == decoders.__all__
    assert len(set(decoders.__all__)) == len(decoders.__all__)
    for name in decoders.__all__:
        assert getattr(decoders, name).__module__.startswith("decoders.")
    assert set(decoders._HOME_OF) == set(decoders.__all__)
    assert dir(decoders) == decoders.__all__


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Magick"):
        decoders.Magick  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, decoders; from decoders import Decoder, Limits, Prompt, SeeTellError;"
        "print([name for name in ('torch', 'transformers', 'open_clip', 'faiss', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
