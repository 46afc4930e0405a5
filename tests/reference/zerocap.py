"""ZeroCap: Tewel et al. 2022, "ZeroCap: Zero-Shot Image-to-Text Generation for Visual-Semantic Arithmetic", section 3.

For each new token, with C the keys and values of all but the last token of the context and p0 = softmax(LM(last | C)):

    D = 0;  five times:   p = softmax(LM(last | C + D)),  q = softmax(cos(image, text + candidate) / 0.01) over the 512 likeliest
                          L = 1.0 * (- sum q log p) + 0.2 * sum p (log p - log p0)
                          D <- D - 0.3 * g / (|g| + 1e-15)^0.9     for each layer's keys and values, g = dL/dD
    p_final  ~  softmax(adjusted logits of LM(last | C + D))^0.99 * p0^0.01

and a beam over p_final. One image and one text at a time; C, the texts' features and everything else are computed anew each
time they are needed. A text ends at the stop token, or (not in the released code) at the language model's own end token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tests.reference.image_text import ImageText
from tests.reference.language import Answer, Margin, words


@dataclass(frozen=True)
class Settings:
    """What the released code calls its arguments."""

    beam_size: int = 5
    top: int = 512
    iterations: int = 5
    stepsize: float = 0.3
    grad_norm_factor: float = 0.9
    temperature: float = 0.01
    clip_scale: float = 1.0
    ce_scale: float = 0.2
    fusion: float = 0.99
    repetition_penalty: float = 1.0
    end_factor: float = 1.01
    forbidden_factor: float = 20.0
    joint: bool = False


@dataclass
class ZeroCapOracle:
    """The models, and the settings."""

    model: Any
    tokenizer: Any
    clip: ImageText
    settings: Settings

    def __post_init__(self) -> None:
        self.margin = Margin()
        self.end = int(self.tokenizer.eos_token_id)
        self.stop = int(self.tokenizer.convert_tokens_to_ids("."))

    def text(self, context: Sequence[int]) -> str:
        """The context as CLIP reads it."""
        return words(self.tokenizer, [i for i in context if i != self.end], skip_special=True)

    def wanted(self, log_p: Tensor, context: Sequence[int], image: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest tokens and q."""
        top = torch.topk(log_p.detach(), min(self.settings.top, len(log_p))).indices
        self.margin.at_rank(log_p.detach(), self.settings.top)
        pieces = ["" if i == self.end else words(self.tokenizer, [i], skip_special=False) for i in top.tolist()]
        cosine = self.clip.encode_texts([self.text(context) + piece for piece in pieces]) @ image
        return top, torch.softmax(cosine / self.settings.temperature, dim=0)

    def past(self, context: Sequence[int]) -> list[Tensor]:
        """C: keys and values, layer by layer, of all but the last token."""
        with torch.no_grad():
            cache = self.model(torch.tensor([list(context[:-1])]), use_cache=True).past_key_values
        return [state for layer in cache.layers for state in (layer.keys, layer.values)]

    def last(self, token: int, states: Sequence[Tensor]) -> Tensor:
        """Logits behind the last token, given keys and values of what is before it."""
        cache = DynamicCache()
        for layer in range(len(states) // 2):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
        return self.model(torch.tensor([[token]]), past_key_values=cache, use_cache=True).logits[0, -1]

    def fused(self, context: Sequence[int], image: Tensor, index: int) -> Tensor:
        """p_final before normalisation, `[vocabulary]`."""
        config = self.settings
        with torch.no_grad():
            p0 = torch.softmax(self.model(torch.tensor([list(context)]), use_cache=False).logits[0, -1], dim=-1)
        past = self.past(context)
        shift = [torch.zeros_like(state) for state in past]
        for _ in range(config.iterations):
            shift = [part.detach().requires_grad_() for part in shift]
            states = [state + part for state, part in zip(past, shift, strict=True)]
            p = torch.softmax(self.last(context[-1], states), dim=-1)
            top, q = self.wanted(torch.log(p), context, image)
            divergence = (torch.xlogy(p, p) - torch.xlogy(p, p0)).sum()
            (config.clip_scale * -(q * torch.log(p[top])).sum() + config.ce_scale * divergence).backward()
            step = config.stepsize
            shift = [s - step * s.grad / (s.grad.norm() + 1e-15) ** config.grad_norm_factor for s in shift]
        with torch.no_grad():
            states = [state + part for state, part in zip(past, shift, strict=True)]
            logits = self.adjusted(self.last(context[-1], states), context, index)
            return torch.softmax(logits, dim=-1) ** config.fusion * p0 ** (1 - config.fusion)

    def adjusted(self, logits: Tensor, context: Sequence[int], index: int) -> Tensor:
        """The released code's preferences among tokens."""

        def penalise(token: int, factor: float) -> None:
            logits[token] = logits[token] / factor if logits[token] > 0 else logits[token] * factor

        for token in set(context[-4:]):
            penalise(token, self.settings.repetition_penalty)
        penalise(self.stop, 1.6 if index == 0 else 1 / self.settings.end_factor)
        for piece, token in self.tokenizer.get_vocab().items():
            if all(letter in "0123456789" for letter in piece) or piece in ("!", "(", ")", ",", ":", "Ċ"):
                penalise(token, self.settings.forbidden_factor)
        return logits

    def caption(self, image: Tensor, prompt: Sequence[int], new_tokens: int) -> Answer:
        """The caption for an image with normalised features `image`, `[d]`, behind `prompt`."""
        said: list[list[int]] = [[]]  # fillers included, as the released code has them
        lengths, sums, stopped = [0], [0.0], [False]
        for index in range(new_tokens):
            weights = torch.stack([self.fused([*prompt, *tokens], image, index) for tokens in said])
            norm = weights.sum() if self.settings.joint else weights.sum(dim=-1, keepdim=True)
            log_p = torch.log(weights / norm)
            mean = torch.full_like(log_p, -torch.inf)
            for row in range(len(said)):
                if stopped[row]:
                    mean[row, 0] = sums[row] / lengths[row]
                else:
                    mean[row] = (sums[row] + log_p[row]) / (lengths[row] + 1)
            flat = mean.flatten()
            self.margin.at_rank(flat[flat > -torch.inf], self.settings.beam_size)
            best = torch.topk(flat, self.settings.beam_size)
            rows, tokens = [i // mean.shape[1] for i in best.indices.tolist()], best.indices % mean.shape[1]
            lengths = [lengths[row] + (not stopped[row]) for row in rows]
            sums = [float(value) * length for value, length in zip(best.values, lengths, strict=True)]
            said = [[*said[row], token] for row, token in zip(rows, tokens.tolist(), strict=True)]
            stopped = [stopped[row] or said[n][-1] in (self.stop, self.end) for n, row in enumerate(rows)]
            if all(stopped):
                break
        captions = [tokens[:length] for tokens, length in zip(said, lengths, strict=True)]
        texts = [words(self.tokenizer, tokens, skip_special=True) for tokens in captions]
        cosine = self.clip.encode_texts(texts) @ image
        if len(set(texts)) > 1:
            self.margin.between_first_two(torch.tensor(sorted({round(float(c), 7) for c in cosine})))
        return Answer(tuple(captions[int(cosine.argmax())]), self.margin.smallest)
