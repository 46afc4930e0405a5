"""What the oracles ask of an image-text model: the normalised features of one image or one text, and the scale.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", figure 3.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from decoders.models import torchvision_schemas


@dataclass(frozen=True)
class ImageText:
    """An open_clip model with its own transform and tokenizer, one input at a time, texts padded to the full context."""

    model: Any
    transform: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path) -> ImageText:
        """Load a `local-dir:` checkpoint through open_clip's own functions."""
        torchvision_schemas.ensure()  # without it, open_clip may not import; it touches no computation
        import open_clip

        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        return cls(model.eval().float(), transform, open_clip.get_tokenizer(f"local-dir:{folder}"))

    @property
    def scale(self) -> float:
        """The learned factor on the cosine."""
        return float(self.model.logit_scale.detach().exp())

    def encode_image(self, image: Path | bytes) -> Tensor:
        """Normalised features of an RGB image, `[d]`."""
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as picture, torch.no_grad():
            pixels = self.transform(picture.convert("RGB"))
            return normalize(self.model.encode_image(pixels[None])[0], dim=0)

    def encode_text(self, text: str) -> Tensor:
        """Normalised features of a text, `[d]`."""
        return self.encode_texts([text])[0]

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalised features of some texts, `[n, d]`, every one padded to the full context."""
        with torch.no_grad():
            return normalize(self.model.encode_text(self.tokenizer(list(texts))), dim=-1)
