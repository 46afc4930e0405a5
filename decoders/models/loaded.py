"""The models that a run has loaded, handed to decoders and metrics together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from decoders.errors import NeedMissing

if TYPE_CHECKING:
    from decoders.models.image_text import ImageTextModel
    from decoders.models.language_model import LanguageModel
    from decoders.models.sentence_encoder import SentenceEncoder
    from decoders.nearest import CaptionIndex


@dataclass(frozen=True, slots=True)
class Models:
    """The models a run has loaded; each accessor raises `NeedMissing` rather than hand out None."""

    language_model: LanguageModel | None = None
    image_text: ImageTextModel | None = None
    caption_index: CaptionIndex | None = None
    sentence_encoder: SentenceEncoder | None = None

    @property
    def lm(self) -> LanguageModel:
        """The language model."""
        if self.language_model is None:
            raise NeedMissing("this needs a language model; name one under [models] language_model in the suite")
        return self.language_model

    @property
    def clip(self) -> ImageTextModel:
        """The image-text model."""
        if self.image_text is None:
            raise NeedMissing("this needs an image-text model; name one under [models] image_text in the suite")
        return self.image_text

    @property
    def index(self) -> CaptionIndex:
        """The index of captions that retrieval chooses from."""
        if self.caption_index is None:
            raise NeedMissing("this needs captions to choose from; name them under [captions] in the suite")
        return self.caption_index

    @property
    def encoder(self) -> SentenceEncoder:
        """The sentence encoder; metrics have one, decoders do not."""
        if self.sentence_encoder is None:
            raise NeedMissing("this needs a sentence encoder; name one as `model` among the metric's options")
        return self.sentence_encoder
