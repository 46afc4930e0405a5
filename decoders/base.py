"""What a decoder is: prompts and seeds in, generations out, and nothing else decides the text.

The contract that everything else leans on is *purity*: the text for a prompt depends on the decoder's config, the models,
the prompt and the seed. It does not depend on the batch it was decoded in, on its neighbours or on their order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:  # the contract by itself loads neither numpy nor torch
    from decoders.models.images import ImageLike
    from decoders.models.loaded import Models


class Need(StrEnum):
    """What a decoder or a metric must be given; checked before anything heavy is loaded."""

    LM = "language_model"
    CLIP = "image_text"
    IMAGE = "image"
    INDEX = "caption_index"
    ENCODER = "sentence_encoder"


class DecoderConfig(BaseModel):
    """Base of every decoder's `Config`: frozen, unknown keys refused. All its fields are part of a run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one text starts from."""

    id: str
    """The example's id, for messages; it does not influence the text."""
    text: str
    """What the language model continues, special tokens spelled out; empty means its start token alone."""
    image: ImageLike | None = None
    """An image file, its bytes, or where to read them; None for a decoder that is blind."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The text that a decoder wrote for one prompt."""

    text: str
    """The new text alone: no prompt, no special tokens, white space collapsed."""
    tokens: tuple[int, ...]
    """Ids of the new tokens, end token included where it was reached; empty for retrieval."""
    finish: Literal["eos", "length", "retrieved"]
    """Why it stopped."""
    trace: Mapping[str, float] = field(default_factory=dict)
    """Figures about the search. They are floats of batched arithmetic, so their last digits are not reproducible and they
    are never stored beside the text."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a text may get. Both may be given; the tighter one binds.

    The published settings count differently: captions by new tokens, stories by prompt plus new tokens
    (MAGIC's `decoding_len`).
    """

    max_new_tokens: int | None = None
    """New tokens, end token included."""
    max_length: int | None = None
    """Prompt tokens plus new tokens."""

    def room_after(self, prompt_tokens: int) -> int:
        """New tokens that still fit after a prompt of `prompt_tokens` tokens; zero or less when none does."""
        rooms = [2**31]
        if self.max_new_tokens is not None:
            rooms.append(self.max_new_tokens)
        if self.max_length is not None:
            rooms.append(self.max_length - prompt_tokens)
        return min(rooms)


class Decoder(ABC):
    """One way of turning prompts (and their images) into text."""

    Config: ClassVar[type[DecoderConfig]] = DecoderConfig
    """The pydantic model of its hyper-parameters; the defaults are the published ones."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What has to be there before it can start."""
    version: ClassVar[int] = 1
    """Bumped when output changes on purpose; part of the identity."""
    seeded: ClassVar[bool] = False
    """True where the seed matters, so that several draws of one prompt differ."""

    def __init__(self, config: DecoderConfig, models: Models, limits: Limits) -> None:
        self.config = config
        self.models = models
        self.limits = limits

    @abstractmethod
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """Decode a batch, one generation a prompt, in order.

        Args:
            prompts: the batch; any size from 1 up.
            seeds: one 64-bit seed a prompt; a deterministic decoder ignores them.

        Raises:
            UnreadableImage: an image of the batch cannot be opened (the harness checks images before it gets here).
            PromptTooLong: a prompt that leaves no room for a new token.
        """
