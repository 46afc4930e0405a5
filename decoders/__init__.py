"""Ways of turning an image and a prompt into text.

The names below are the public face. Each is imported when it is first used, so `import decoders` costs nothing and loads no
torch; anything that is not listed may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decoders.base import Decoder, DecoderConfig, Generation, Limits, Need, Prompt
    from decoders.beam import Beam
    from decoders.clipre import ClipRe
    from decoders.constant import Constant
    from decoders.contrastive import Contrastive
    from decoders.errors import ModelMismatch, ModelNotFound, NeedMissing, PromptTooLong, SeeTellError, UnreadableImage
    from decoders.loop import Candidates, Step, StepDecoder
    from decoders.magic import Magic
    from decoders.models.image_text import ImageTextModel
    from decoders.models.images import open_image
    from decoders.models.language_model import LanguageModel
    from decoders.models.load import load_image_text, load_language_model
    from decoders.models.loaded import Models
    from decoders.models.names import model_digest
    from decoders.nearest import CaptionIndex
    from decoders.rerank import SampleRerank
    from decoders.sampling import Greedy, Nucleus, TopK, Typical
    from decoders.zerocap import ZeroCap

__all__ = [
    "Beam",
    "Candidates",
    "CaptionIndex",
    "ClipRe",
    "Constant",
    "Contrastive",
    "Decoder",
    "DecoderConfig",
    "Generation",
    "Greedy",
    "ImageTextModel",
    "LanguageModel",
    "Limits",
    "Magic",
    "ModelMismatch",
    "ModelNotFound",
    "Models",
    "Need",
    "NeedMissing",
    "Nucleus",
    "Prompt",
    "PromptTooLong",
    "SampleRerank",
    "SeeTellError",
    "Step",
    "StepDecoder",
    "TopK",
    "Typical",
    "UnreadableImage",
    "ZeroCap",
    "load_image_text",
    "load_language_model",
    "model_digest",
    "open_image",
]

_HOMES = {
    "decoders.base": ("Decoder", "DecoderConfig", "Generation", "Limits", "Need", "Prompt"),
    "decoders.beam": ("Beam",),
    "decoders.clipre": ("ClipRe",),
    "decoders.constant": ("Constant",),
    "decoders.contrastive": ("Contrastive",),
    "decoders.errors": ("ModelMismatch", "ModelNotFound", "NeedMissing", "PromptTooLong", "SeeTellError",
                        "UnreadableImage"),
    "decoders.loop": ("Candidates", "Step", "StepDecoder"),
    "decoders.magic": ("Magic",),
    "decoders.models.image_text": ("ImageTextModel",),
    "decoders.models.images": ("open_image",),
    "decoders.models.language_model": ("LanguageModel",),
    "decoders.models.load": ("load_image_text", "load_language_model"),
    "decoders.models.loaded": ("Models",),
    "decoders.models.names": ("model_digest",),
    "decoders.nearest": ("CaptionIndex",),
    "decoders.rerank": ("SampleRerank",),
    "decoders.sampling": ("Greedy", "Nucleus", "TopK", "Typical"),
    "decoders.zerocap": ("ZeroCap",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'decoders' has no public name {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
