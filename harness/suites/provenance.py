"""How a number came about: the signature of a metric, and the record of the environment a run was made in."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from urllib.parse import quote, unquote

RECORDED_PACKAGES = ("seetell", "torch", "torchvision", "transformers", "open_clip_torch", "tokenizers", "numpy", "scipy",
                     "pillow", "faiss-cpu", "pyarrow", "sentencex", "pycocoevalcap")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signature:
    """A metric's name and everything that moves its value, as `name|key:value|...` (after sacrebleu).

    Values are percent-encoded, so `parse` is the exact inverse of `str` whatever they contain. Two numbers may be ranked
    against each other only if their signatures are equal.
    """

    metric: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, metric: str, fields: Mapping[str, object]) -> Signature:
        """Make one from a mapping, in its order; SeeTell's own version is added last as `v`."""
        return cls(metric, (*((key, str(value)) for key, value in fields.items()), ("v", seetell_version())))

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read one back.

        Raises:
            ValueError: a part without a colon.
        """
        name, *parts = text.split("|")
        fields = []
        for part in parts:
            key, colon, value = part.partition(":")
            if not colon:
                raise ValueError(f"{part!r} in the signature {text!r} has no colon; expected key:value between bars")
            fields.append((unquote(key), unquote(value)))
        return cls(unquote(name), tuple(fields))

    def __str__(self) -> str:
        parts = [f"{_quote(key)}:{_quote(value)}" for key, value in self.fields]
        return "|".join([_quote(self.metric), *parts])


def _quote(text: str) -> str:
    return quote(text, safe="-_.@+=,/()")


def model_field(name: str, digest: str) -> str:
    """A model in a signature: the end of its name for people, the beginning of its digest for certainty."""
    return f"{name.split('/')[-1]}+{digest[:8]}"


def seetell_version() -> str:
    """The installed version of SeeTell."""
    return metadata.version("seetell")


def environment() -> dict[str, object]:
    """What the run was made with: Python, platform, package versions. Goes into run.json, never into an identity."""
    packages: dict[str, str | None] = {}
    for name in RECORDED_PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": packages}
