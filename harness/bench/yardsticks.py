"""What the published programs compute, at what it costs them: the yardsticks that decoding speed is measured against.

They are written from the papers' equations and from how the released programs go about it: one image at a time; the cache
copied for each of the k candidates, and the chosen copy copied back; the matrix of earlier hidden states normalised and
expanded k times at every step; logits of all candidates; each candidate's text turned into words, then ids, and read whole by
the text tower, all k padded to the longest; always the full length, whatever follows the end token. ZeroCap rebuilds its
context at every token and takes its gradients through NumPy.

Nothing of SeeTell's decoding is used but how text is tidied up. The models are plain ones of transformers and open_clip, loaded
apart from the product's, so that no preparation of weights reaches them. What is cut behind the first end token costs
time and is no part of the answer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from decoders.models import names, torchvision_schemas
from decoders.models.images import ImageLike, open_image
from decoders.models.language_model import clean_up
from harness.bench.meters import Clock, Part


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Transformers shows no progress bars of its own in the block."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


@dataclass
class Published:
    """The models as the released programs hold them, and a clock for what is done with them.

    Attributes:
        model: a causal language model of transformers, float32.
        tokenizer: its tokenizer.
        clip: an open_clip model, float32; None where only words are asked for.
        transform: from an RGB image to pixels.
        clip_tokenizer: open_clip's.
        end: the language model's end token.
    """

    model: Any
    tokenizer: Any
    clip: Any
    transform: Any
    clip_tokenizer: Any
    end: int
    device: torch.device
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def load(cls, language_model: str, image_text: str | None, *, end: int, device: str) -> Published:
        """Load both models plainly, by the names that `decoders.models.names` lists.

        Args:
            language_model: such as `local:folder`.
            image_text: such as `local-dir:folder`.
            end: the id that ends a text.
            device: such as `cpu`.
        """
        torchvision_schemas.ensure()
        import open_clip
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = names.find_language_model(language_model).folder
        with without_bars():
            model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        clip = transform = clip_tokenizer = None
        if image_text is not None:
            files = names.find_image_text(image_text)
            scheme, _, rest = image_text.partition(":")
            name = rest.partition("@")[0] if scheme == "open_clip" else f"local-dir:{files.folder}"
            weights = {"pretrained": str(files.weights[0])} if scheme == "open_clip" else {}
            clip, transform = open_clip.create_model_from_pretrained(name, **weights)
            clip_tokenizer = open_clip.get_tokenizer(name)
            clip = clip.eval().requires_grad_(False).float().to(device)
        model = model.eval().requires_grad_(False).float().to(device)
        return cls(model, tokenizer, clip, transform, clip_tokenizer, end, torch.device(device))

    def words(self, ids: Sequence[int], *, special: bool = True) -> str:
        """Text of ids, special tokens spelled out or left out."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False)
        return clean_up(text)

    @torch.no_grad()
    def image_features(self, image: ImageLike) -> Tensor:
        """Unit features of one image, `[1, d]`."""
        with self.clock.part(Part.IMAGE):
            pixels = self.transform(open_image(image))[None].to(self.device)
            return torch.nn.functional.normalize(self.clip.encode_image(pixels), dim=-1)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features of texts, each read whole, `[n, d]`."""
        with self.clock.part(Part.TEXT):
            tower = getattr(self.clip, "text", self.clip)
            if getattr(tower, "attn_mask", None) is None:
                features = self.clip.encode_text(self.clip_tokenizer(list(texts)).to(self.device))
            else:
                features = pooled_texts(self.clip, self._text_ids(texts).to(self.device))
                projection = tower.text_projection
                if projection is not None:
                    features = projection(features) if isinstance(projection, torch.nn.Linear) else features @ projection
            return torch.nn.functional.normalize(features, dim=-1)

    def _text_ids(self, texts: Sequence[str]) -> Tensor:
        """Ids padded to the longest text. A spelled-out end token is the text tower's own, and is where it will be read."""
        reader, end = self.clip_tokenizer, self.tokenizer.convert_ids_to_tokens(self.end)
        if not hasattr(reader, "sot_token_id"):
            ids: Tensor = reader([text.partition(end)[0] for text in texts])
            return ids[:, : int(ids.argmax(dim=-1).max()) + 1]
        rows = []
        for text in texts:
            row = [reader.sot_token_id]
            for piece in text.split(end):
                row += [*reader.encode(piece), reader.eot_token_id]
            rows.append(row[: reader.context_length - 1] + row[-1:] if len(row) > reader.context_length else row)
        longest = max(len(row) for row in rows)
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def pooled_texts(clip: Any, ids: Tensor) -> Tensor:
    """What a causal text tower says at the first end token of each text, not yet projected, `[n, width]`.

    Args:
        clip: an open_clip model.
        ids: `[n, length]`, any length up to the tower's context; open_clip's own function insists on the full one.
    """
    tower, length = getattr(clip, "text", clip), ids.shape[1]
    x = tower.token_embedding(ids) + tower.positional_embedding[:length]
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
    pooled: Tensor = x[torch.arange(len(ids), device=ids.device), ids.argmax(dim=-1)]
    return pooled


@torch.no_grad()
def contrastive_or_magic(
    published: Published,
    prompt: Sequence[int],
    image: ImageLike | None,
    *,
    k: int,
    alpha: float,
    beta: float | None,
    new_tokens: int,
    window: int = 60,
) -> list[int]:
    """Contrastive search (Su et al. 2022, "A Contrastive Framework", eq. 5), or MAGIC search where there is a beta.

    Args:
        published: the models.
        prompt: ids to continue.
        image: what MAGIC search looks at.
        k: candidates.
        alpha: weight of the degeneration penalty.
        beta: weight of the image; None for contrastive search.
        new_tokens: how many are made, always.
        window: the text tower reads this many of the last tokens.

    Returns:
        All new tokens.
    """
    seen = None if beta is None or image is None else published.image_features(image)
    part = published.clock.part
    ids = torch.tensor([list(prompt)], device=published.device)
    with part(Part.LM):
        out = published.model(ids, attention_mask=torch.ones_like(ids), use_cache=True, output_hidden_states=True)
        cache, history, logits = out.past_key_values, out.hidden_states[-1], out.logits[:, -1]
    new_ids: list[int] = []
    for _ in range(new_tokens):
        top = torch.topk(torch.softmax(logits, dim=-1), min(k, logits.shape[-1]), dim=-1)
        width = top.indices.shape[1]
        with part(Part.LM):
            cache.batch_repeat_interleave(width)
            out = published.model(
                top.indices.T, past_key_values=cache, attention_mask=ids.new_ones(width, history.shape[1] + 1),
                use_cache=True, output_hidden_states=True,
            )  # fmt: skip
        ahead, next_logits = out.hidden_states[-1], out.logits[:, -1]
        context = history.expand(width, -1, -1).contiguous()
        context = context / context.norm(dim=2, keepdim=True)
        ahead_unit = ahead / ahead.norm(dim=2, keepdim=True)
        penalty = torch.matmul(context, ahead_unit.transpose(1, 2)).squeeze(-1).max(dim=-1).values
        scores = (1 - alpha) * top.values[0] - alpha * penalty
        if seen is not None and beta is not None:
            texts = [published.words([*new_ids, candidate.item()][-window:]) for candidate in top.indices[0]]
            cosines = published.text_features(texts) @ seen[0]
            scores = scores + beta * torch.softmax(published.clip.logit_scale.exp() * cosines, dim=-1)
        best = int(scores.argmax())
        with part(Part.LM):
            cache.batch_select_indices(torch.tensor([best], device=published.device))
        history = torch.cat([history, ahead[best : best + 1]], dim=1)
        logits = next_logits[best : best + 1]
        new_ids.append(int(top.indices[0, best]))
    return new_ids


@torch.no_grad()
def generate(published: Published, prompts: Sequence[Sequence[int]], *, new_tokens: int, top_p: float | None) -> Tensor:
    """What `generate` of transformers says to a batch, greedily or from a nucleus, `[n, up to new_tokens]`."""
    ids = torch.tensor([list(prompt) for prompt in prompts], device=published.device)
    chosen: dict[str, Any] = {"do_sample": False} if top_p is None else {"do_sample": True, "top_p": top_p, "top_k": 0}
    with published.clock.part(Part.LM):
        out: Tensor = published.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, num_beams=1, eos_token_id=published.end,
            pad_token_id=published.end, **chosen,
        )  # fmt: skip
    return out[:, ids.shape[1] :]


FORBIDDEN = re.compile("[0-9]+|[!(),:\nĊ]")


def zerocap(
    published: Published,
    prompt: Sequence[int],
    image: ImageLike,
    *,
    beam_size: int,
    new_tokens: int,
    candidates: int = 512,
    iterations: int = 5,
) -> list[int]:
    """ZeroCap (Tewel et al. 2022, section 3) with its published settings, up to the token that ends its best text.

    Args:
        published: the models.
        prompt: ids of the start token and "Image of a".
        image: the image.
        beam_size: 5 by its authors, 1 in the comparison of MAGIC's.
        new_tokens: the limit.
        candidates: texts that are read for each text at each gradient step.
        iterations: gradient steps a token.
    """
    seen = published.image_features(image)[0]
    stop = int(published.tokenizer.convert_tokens_to_ids("."))
    forbidden = [i for piece, i in published.tokenizer.get_vocab().items() if FORBIDDEN.fullmatch(piece)]
    beam: list[list[int]] = [[]]
    lengths, sums, stopped = [0], [0.0], [False]
    for index in range(new_tokens):
        context = torch.tensor([[*prompt, *ids] for ids in beam], device=published.device)
        weights = _steered(
            published, context, seen, index=index, stop=stop, forbidden=forbidden, candidates=candidates, iterations=iterations
        )  # fmt: skip
        log_p = torch.log(weights / weights.sum())
        mean = torch.full_like(log_p, -torch.inf)
        for row in range(len(beam)):
            if stopped[row]:
                mean[row, 0] = sums[row] / lengths[row]
            else:
                mean[row] = (sums[row] + log_p[row]) / (lengths[row] + 1)
        best = torch.topk(mean.flatten(), beam_size)
        rows = [place // mean.shape[1] for place in best.indices.tolist()]
        lengths = [lengths[row] + (not stopped[row]) for row in rows]
        sums = [value * length for value, length in zip(best.values.tolist(), lengths, strict=True)]
        beam = [[*beam[row], place % mean.shape[1]] for row, place in zip(rows, best.indices.tolist(), strict=True)]
        stopped = [stopped[row] or ids[-1] in (stop, published.end) for row, ids in zip(rows, beam, strict=True)]
        if all(stopped):
            break
    texts = [ids[:length] for ids, length in zip(beam, lengths, strict=True)]
    fit = published.text_features([published.words(text, special=False) for text in texts]) @ seen
    return texts[int(fit.argmax())]


def _steered(
    published: Published,
    context: Tensor,
    seen: Tensor,
    *,
    index: int,
    stop: int,
    forbidden: Sequence[int],
    candidates: int,
    iterations: int,
) -> Tensor:
    """The fused distribution behind each text, not yet normalised, `[beams, vocabulary]`."""
    part, model = published.clock.part, published.model
    with torch.no_grad(), part(Part.LM):
        ones = torch.ones_like(context)
        cache = model(context[:, :-1], attention_mask=ones[:, :-1], use_cache=True).past_key_values
        states = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        unshifted = torch.softmax(model(context, attention_mask=ones, use_cache=True).logits[:, -1], dim=-1)
    texts = [published.words([i for i in row if i != published.end], special=False) for row in context.tolist()]
    shift = [torch.zeros_like(state).cpu().numpy() for state in states]
    for _ in range(iterations):
        leaves = [torch.from_numpy(part_of).to(context.device).requires_grad_() for part_of in shift]
        with part(Part.LM):
            p = torch.softmax(_last(model, context, states, leaves), dim=-1)
        loss = p.new_zeros(())
        for row, text in enumerate(texts):
            top = torch.topk(p[row].detach(), min(candidates, p.shape[1])).indices
            pieces = ["" if i == published.end else published.words([i]) for i in top.tolist()]
            wanted = torch.softmax(published.text_features([text + piece for piece in pieces]) @ seen / 0.01, dim=0)
            loss = loss - (wanted * torch.log(p[row][top])).sum()
            loss = loss + 0.2 * (torch.xlogy(p[row], p[row]) - torch.xlogy(p[row], unshifted[row])).sum()
        with part(Part.LM):
            gradients = torch.autograd.grad(loss, leaves)
        for place, gradient in enumerate(gradients):
            for row in range(len(texts)):
                norm = gradient[row].norm() + 1e-15
                shift[place][row] -= 0.3 * (gradient[row] / norm**0.9).cpu().numpy()
    with torch.no_grad():
        with part(Part.LM):
            logits = _last(model, context, states, [torch.from_numpy(part_of).to(context.device) for part_of in shift])
        for row in logits:
            for token, factor in ((stop, 1.6 if index == 0 else 1 / 1.01), *((token, 20.0) for token in forbidden)):
                row[token] = row[token] / factor if row[token] > 0 else row[token] * factor
        return torch.softmax(logits, dim=-1) ** 0.99 * unshifted**0.01


def _last(model: Any, context: Tensor, states: Sequence[Tensor], shift: Sequence[Tensor]) -> Tensor:
    """Logits behind the last token on top of shifted keys and values, `[beams, vocabulary]`."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer in range(len(states) // 2):
        keys, values = (states[2 * layer + n] + shift[2 * layer + n] for n in (0, 1))
        cache.update(keys, values, layer)
    mask = torch.ones_like(context)
    out = model(context[:, -1:], past_key_values=cache, attention_mask=mask, use_cache=True)
    logits: Tensor = out.logits[:, -1]
    return logits


def until_end(tokens: Sequence[int], end: int) -> tuple[int, ...]:
    """Tokens up to and including the first end token."""
    kept = tuple(tokens)
    return kept[: kept.index(end) + 1] if end in kept else kept
