"""ZeroCap: at every token, a language model's context is pushed by gradients towards what the image-text model wants.

Tewel et al. 2022, "ZeroCap: Zero-Shot Image-to-Text Generation for Visual-Semantic Arithmetic" (arXiv 2111.14447), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from decoders.base import Decoder, DecoderConfig, Generation, Need, Prompt
from decoders.loop import images_of, room_for, top_ids
from decoders.models.shifted_cache import ShiftedCache
from decoders.zerocap_search import (
    CandidateCosines,
    Hypothesis,
    averages,
    context_text,
    extend,
    forbidden_ids,
    joint_norms,
    scale_down,
    single_id,
)


class ZeroCapConfig(DecoderConfig):
    """Settings of ZeroCap; the defaults are the published ones (section 4 and the released code)."""

    variant: Literal["upstream", "magic-repo"] = "upstream"
    """Whose defaults: the authors' (five beams, the image-text model chooses among them), or those of the MAGIC comparison
    (one beam, which the authors' search reduces to)."""
    beam_size: int = Field(default=5, ge=1)
    """Texts that are written side by side for an image; 5 upstream, 1 in the MAGIC comparison."""
    cond_text: str | Literal[False] = "Image of a"
    """What the caption continues, behind the language model's start token; false continues the example's own prompt, for
    language models that learned another beginning."""
    candidates: int = Field(default=512, ge=1)
    """How many of the likeliest tokens the image-text model judges."""
    num_iterations: int = Field(default=5, ge=0)
    """Gradient steps a token; 0 leaves the image to the final choice among the beams."""
    stepsize: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    """Length of a gradient step."""
    grad_norm_factor: float = Field(default=0.9, ge=0, allow_inf_nan=False)
    """Power of its own norm that a gradient is divided by."""
    clip_loss_temperature: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    """Divides the cosines of image and texts."""
    clip_scale: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the image in the loss."""
    ce_scale: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    """Weight of staying near the language model's own distribution."""
    fusion_factor: float = Field(default=0.99, ge=0, le=1)
    """Power of the steered distribution; the language model's own gets the rest."""
    repetition_penalty: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Scales down the logits of the last four tokens; 1 is off."""
    end_token: str = "."
    """What ends a caption, beside the language model's own end token."""
    first_end_factor: float = Field(default=1.6, gt=0, allow_inf_nan=False)
    """Scales down the logit of `end_token` as first token."""
    end_factor: float = Field(default=1.01, gt=0, allow_inf_nan=False)
    """Scales it up as any later token."""
    forbidden_factor: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    """Scales down the logits of numbers without a space before them and of `! ( ) , :` and the line break; 1 is off."""
    normalise: Literal["row", "joint"] = "row"
    """Over what the fused distribution sums to one: each beam by itself, or, as in the released code, all beams of an image
    together, which takes about `log(beam_size)` from each unfinished beam at each token and so favours short captions."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("variant") == "magic-repo":
            return {"beam_size": 1, **values}
        return values


class ZeroCap(Decoder):
    """Steers the language model by shifting the cached keys and values of its context at each token.

    With p the shifted distribution, p0 the unshifted one, and q a softmax over the likeliest tokens of the cosine between the
    image and the text with the token appended (cond_text included), a gradient step lowers

        clip_scale * (-sum q log p) + ce_scale * KL(p || p0)        (equations 3 to 5)

    and what comes out is fused as `p^fusion_factor * p0^(1 - fusion_factor)` and searched with a beam whose texts are ordered
    by their mean log-probability per token. The finished text with the highest cosine, cond_text left out, wins.

    A text also ends at the language model's own end token, after which the released code would write on.
    """

    Config: ClassVar[type[DecoderConfig]] = ZeroCapConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM, Need.CLIP, Need.IMAGE})
    config: ZeroCapConfig

    @torch.no_grad()
    def decode(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Generation]:
        """See `Decoder.decode`; nothing is random. `trace` holds the winner's cosine and mean log-probability.

        Raises:
            NeedMissing: a prompt without an image.
            ModelMismatch: a tokenizer without a token for `end_token`.
        """
        if not prompts:
            return []
        lm, images = self.models.lm, self.models.clip.image_features(images_of(prompts))
        work = []
        for place, prompt in enumerate(prompts):
            ids = self._context(prompt)
            work.append((len(ids), place, ids, room_for(lm, self.limits, prompt, len(ids))))
        generations: dict[int, Generation] = {}
        for _, group in groupby(sorted(work, key=lambda item: item[0]), key=lambda item: item[0]):
            part = list(group)
            places = [place for _, place, _, _ in part]
            beams = self._search([ids for _, _, ids, _ in part], images[places], part[0][3])
            generations.update((place, self._choose(beam, images[place])) for place, beam in zip(places, beams, strict=True))
        return [generations[place] for place in range(len(prompts))]

    @cached_property
    def _cosines(self) -> CandidateCosines:
        lm, shared = self.models.lm, self.config.cond_text is not False
        first = context_text(lm, self._context(Prompt("", ""))) if shared else None
        return CandidateCosines(lm, self.models.clip, first)

    @cached_property
    def _end(self) -> int:
        return single_id(self.models.lm, self.config.end_token)

    @cached_property
    def _forbidden(self) -> Tensor:
        return forbidden_ids(self.models.lm).to(self.models.lm.device)

    def _context(self, prompt: Prompt) -> list[int]:
        lm = self.models.lm
        if self.config.cond_text is False:
            return lm.encode(prompt.text)
        start = lm.end_id if lm.tokenizer.bos_token_id is None else int(lm.tokenizer.bos_token_id)
        return [start, *(lm.encode(self.config.cond_text) if self.config.cond_text else [])]

    def _search(self, contexts: Sequence[Sequence[int]], images: Tensor, room: int) -> list[list[Hypothesis]]:
        """Write until every beam has ended.

        Args:
            contexts: ids that each image's caption continues, all of one length.
            images: `[n, d]`, unit length.
            room: new tokens that a caption may have.

        Returns:
            The hypotheses of each image, best mean log-probability first.
        """
        lm, joint = self.models.lm, self.config.normalise == "joint"
        ends = frozenset({lm.end_id, self._end})
        cosines = self._cosines
        cosines.start()
        cache = ShiftedCache(lm, contexts)
        beams = [[Hypothesis(tuple(context))] for context in contexts]
        # Rows that are computed: the unfinished texts; all texts of an unfinished image where they are normalised together.
        rows = [(image, place) for image in range(len(beams)) for place in range(len(beams[image]))]
        for index in range(room):
            owners = torch.tensor([image for image, _ in rows], device=images.device)
            texts = [beams[image][place].context for image, place in rows]
            log_probs = self._log_probs(cache, texts, images[owners], cosines, index)
            norms = joint_norms(log_probs, owners) if joint else log_probs.logsumexp(dim=-1)
            log_probs = log_probs - norms[:, None]
            of_image: dict[int, dict[int, int]] = {}
            for row, (image, place) in enumerate(rows):
                of_image.setdefault(image, {})[place] = row
            rows, sources = [], []
            for image, row_of in of_image.items():
                scores = averages(beams[image], log_probs, row_of)
                beams[image], parents = extend(beams[image], scores, self.config.beam_size, ends)
                unfinished = [not hypothesis.stopped for hypothesis in beams[image]]
                for place, parent in enumerate(parents):
                    if unfinished[place] or (joint and any(unfinished)):
                        rows.append((image, place))
                        sources.append(row_of[parent])
            if not rows or index + 1 == room:
                break
            last = [beams[image][place].context[-1] for image, place in rows]
            cache.advance(torch.tensor(sources, device=lm.device), torch.tensor(last, device=lm.device))
        return beams

    def _log_probs(
        self, cache: ShiftedCache, texts: Sequence[Sequence[int]], images: Tensor, cosines: CandidateCosines, index: int
    ) -> Tensor:
        """Log of the fused distribution of each row's next token, not yet normalised, `[rows, vocabulary]` float32."""
        config = self.config
        # The unshifted pass is needed for p0 anyway. Run with a shift of zero that requires gradients, it is also the forward
        # pass of the first step; only the last pass, which nothing differentiates, runs without a graph. That makes
        # `num_iterations + 1` passes a token instead of `num_iterations + 2`.
        shift = cache.no_shift()
        steps = config.num_iterations if shift else 0
        prefixes = [context_text(self.models.lm, text) for text in texts] if steps else []
        with torch.set_grad_enabled(steps > 0):
            logits = cache.logits(shift)
        unshifted = torch.log_softmax(logits.detach(), dim=-1)
        for left in reversed(range(steps)):
            shift = self._improve(shift, logits, unshifted, prefixes, images, cosines)
            with torch.set_grad_enabled(left > 0):
                logits = cache.shifted_logits(shift)
        logits = self._adjust(logits, texts, index)
        return config.fusion_factor * torch.log_softmax(logits, dim=-1) + (1 - config.fusion_factor) * unshifted

    def _improve(
        self,
        shift: Sequence[Tensor],
        logits: Tensor,
        unshifted: Tensor,
        prefixes: Sequence[str],
        images: Tensor,
        cosines: CandidateCosines,
    ) -> list[Tensor]:
        """One gradient step on the shift that gave `logits`; every row's is its own."""
        config = self.config
        # Every row has a shift of its own and the loss is a sum over rows, so one backward pass gives each row the gradient that
        # it would have alone. The cosines carry no gradient: the image-text model sees tokens, not the shift.
        with torch.enable_grad():
            log_p = torch.log_softmax(logits, dim=-1)
            likeliest = top_ids(log_p.detach(), min(config.candidates, log_p.shape[-1]))
            wanted = torch.softmax(cosines(prefixes, likeliest, images) / config.clip_loss_temperature, dim=-1)
            towards_image = -(wanted * log_p.gather(1, likeliest)).sum()
            away_from_language = (log_p.exp() * (log_p - unshifted)).sum()
            loss = config.clip_scale * towards_image + config.ce_scale * away_from_language
            gradients = torch.autograd.grad(loss, shift)
        return [
            (part.detach() - config.stepsize * gradient / _norms(gradient) ** config.grad_norm_factor).requires_grad_()
            for part, gradient in zip(shift, gradients, strict=True)
        ]

    def _adjust(self, logits: Tensor, texts: Sequence[Sequence[int]], index: int) -> Tensor:
        """Logits with the released code's preferences among tokens, in its order, `[rows, vocabulary]`."""
        config = self.config
        if config.repetition_penalty != 1:
            last = torch.tensor([text[-4:] for text in texts], device=logits.device)
            repeated = torch.zeros_like(logits, dtype=torch.bool).scatter(1, last, True)
            logits = torch.where(repeated, scale_down(logits, config.repetition_penalty), logits)
        factor = config.first_end_factor if index == 0 else 1 / config.end_factor
        logits[:, self._end] = scale_down(logits[:, self._end], factor)
        if config.forbidden_factor != 1:
            logits[:, self._forbidden] = scale_down(logits[:, self._forbidden], config.forbidden_factor)
        return logits

    def _choose(self, beam: Sequence[Hypothesis], image: Tensor) -> Generation:
        """The text of highest cosine with the image, the first of equals."""
        lm = self.models.lm
        texts = [" ".join(lm.decode(hypothesis.tokens).split()) for hypothesis in beam]
        fit = self.models.clip.text_features(texts) @ image
        best = int(fit.argmax())
        winner = beam[best]
        return Generation(
            text=texts[best],
            tokens=winner.tokens,
            finish="eos" if winner.stopped else "length",
            trace={"cosine": float(fit[best]), "log_probability_per_token": winner.score / len(winner.tokens)},
        )


def _norms(gradient: Tensor) -> Tensor:
    """Norm of each row's gradient, shaped to divide it by."""
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1) + 1e-15
    return norms.view(-1, *[1] * (gradient.dim() - 1))
