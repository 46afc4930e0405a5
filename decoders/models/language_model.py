"""A causal language model of Hugging Face transformers with its tokenizer: what it is, its words, its forward pass.

`prefill` starts a `Context` (see `decoders.models.context`), a batch of texts that grow. A short test finds out
whether the model computes candidates of a text that share one forward pass as it would compute each alone; where it does not,
each candidate becomes a row of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from decoders.errors import ModelMismatch, PromptTooLong
from decoders.models.context import Context, RowContext, TreeContext, prefill

START_TOKENS = ("<-start_of_text->",)
"""Start tokens that caption models add to a vocabulary whose declared start token is still the base model's."""

_CLEAN_UP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
             (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip


def clean_up(text: str) -> str:
    """Remove the spaces before punctuation that tokenised training text leaves behind.

    It is the rule that transformers 4 applied to all tokenizers by default, and so part of how MAGIC's texts were made
    (candidates shown to CLIP included); transformers 5 no longer applies it to byte-level BPE.
    """
    for spaced, joined in _CLEAN_UP:
        text = text.replace(spaced, joined)
    return text


class LanguageModel:
    """A causal LM and its tokenizer, frozen and in evaluation mode.

    Attributes:
        model: the transformers model.
        tokenizer: its fast tokenizer.
        name: the name that it was loaded by.
        digest: hash of its files, or the commit of a hub model.
        dtype: name of the weights' dtype, such as `float32`.
        end_id: the id that ends a text.
        vocab_size: number of columns of the logits.
        known_tokens: how many of them, from the first on, the tokenizer has tokens for.
        context_length: positions the model was made for; None if its configuration does not say.
        pads_prompts: whether prompts of different lengths can share a batch exactly. False for models that place tokens by
            cache slot (sliding windows, relative biases without position ids).
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, digest: str, dtype: str = "float32") -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name, self.digest, self.dtype = name, digest, dtype
        self.device: torch.device = next(model.parameters()).device
        self._dtype: torch.dtype = model.dtype
        config = model.config.get_text_config(decoder=True)
        self.context_length = _context_length(config)
        self.vocab_size = int(model.get_output_embeddings().weight.shape[0])
        self.end_id = self._find_end()
        self._specials = _special_ids(tokenizer)
        vocabulary = tokenizer.get_vocab()
        self.known_tokens = max(vocabulary.values()) + 1
        start = next((vocabulary[token] for token in START_TOKENS if token in vocabulary), tokenizer.bos_token_id)
        self._start = self.end_id if start is None else int(start)
        if self.known_tokens > self.vocab_size:
            raise ModelMismatch(
                f"the tokenizer of {name} has ids up to {self.known_tokens - 1}, its model only {self.vocab_size} rows; "
                "they belong to different models: put the tokenizer files that the model was trained with into its folder"
            )
        layers = _empty_cache(model).layers
        self.pads_prompts = (
            _takes(model, "position_ids")
            and not any(getattr(layer, "is_sliding", False) for layer in layers)
            and "local" not in (getattr(config, "attention_layers", None) or ())  # GPT-Neo's window counts cache slots
        )
        if not _takes(model, "past_key_values") or not all(hasattr(layer, "batch_repeat_interleave") for layer in layers):
            raise ModelMismatch(
                f"{name} ({type(model).__name__}) keeps a recurrent state instead of keys and values, which cannot be "
                "branched for look-ahead; choose a transformer language model"
            )

        self._check_causal()

    @torch.no_grad()
    def _check_causal(self) -> None:
        """Refuse models that see both ways, such as BERT, which transformers loads as a causal model with a warning."""
        twins = torch.tensor([[self.end_id, 0], [self.end_id, self.known_tokens - 1]], device=self.device)
        first = self.model(input_ids=twins).logits[:, 0].float()
        if not torch.allclose(first[0], first[1], rtol=1e-3, atol=1e-3):
            raise ModelMismatch(
                f"{self.name} ({type(self.model).__name__}) sees the tokens that follow, so it cannot continue a text; choose a "
                "causal language model"
            )

    def _find_end(self) -> int:
        end = self.tokenizer.eos_token_id
        if end is None:
            end = self.model.config.eos_token_id
        if isinstance(end, (list, tuple)):
            end = end[0] if end else None
        if end is None or not 0 <= int(end) < self.vocab_size:
            raise ModelMismatch(
                f"{self.name} has no usable end token (found {end!r}); set eos_token in its tokenizer_config.json"
            )
        return int(end)

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt.

        Special tokens that are spelled out become their ids; none is added, because a prompt is complete as it is. An
        empty prompt becomes the start token alone: `<-start_of_text->` if the vocabulary has it (MAGIC's caption models
        do), else the tokenizer's start token, else its end token.
        """
        ids = self.tokenizer(text, add_special_tokens=False).input_ids if text else [self._start]
        return [int(i) for i in ids]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of token ids, up to the first end token, with spaces before punctuation removed.

        Args:
            ids: the tokens, without the prompt.
            skip_special: drop special tokens; otherwise they are spelled out.
        """
        kept = []
        for token in ids:
            if token == self.end_id:
                break
            if not (skip_special and token in self._specials):
                kept.append(int(token))
        return clean_up(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def room(self, prompt_tokens: int) -> int:
        """New tokens that the model's context still holds after a prompt of `prompt_tokens` tokens."""
        return 2**31 if self.context_length is None else self.context_length - prompt_tokens

    @torch.no_grad()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> Context:
        """Run the model on a batch of prompts.

        Args:
            prompts: token ids, at least one each; of one length unless `pads_prompts`.

        Raises:
            PromptTooLong: a prompt without tokens or longer than the model's context.
            ValueError: prompts of different lengths for a model that cannot pad them.
        """
        lengths = [len(prompt) for prompt in prompts]
        for length in lengths:
            if length < 1 or self.room(length) < 0:
                raise PromptTooLong(
                    f"a prompt of {length} tokens does not fit {self.name}, which takes 1 to {self.context_length}; "
                    "shorten the prompt or choose a model with a longer context"
                )
        if len(set(lengths)) > 1 and not self.pads_prompts:
            raise ValueError(f"{self.name} cannot hold prompts of different lengths {sorted(set(lengths))} in one batch")
        return prefill(self, prompts, TreeContext if self.sees_trees else RowContext)

    def empty_cache(self) -> Any:
        """A transformers cache of the kind that this model uses, with nothing in it."""
        return _empty_cache(self.model)

    @torch.no_grad()
    def read(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """What the model makes of texts that are already written.

        Args:
            texts: token ids, at least one each; of one length unless `pads_prompts`.

        Returns:
            The vectors that the LM head sees, `[batch, longest, hidden]`, and the logits of every next token,
            `[batch, longest, vocabulary]`, both float32; behind a text's own end they mean nothing.
        """
        longest = max(map(len, texts))
        ids = torch.tensor([[*text, *[self.end_id] * (longest - len(text))] for text in texts], device=self.device)
        positions = torch.arange(longest, device=self.device)
        mask = positions < torch.tensor([len(text) for text in texts], device=self.device)[:, None]
        return self.forward(ids, positions.expand_as(ids), mask, _empty_cache(self.model))

    def forward(
        self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Any, *, at: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One forward pass that extends `cache`.

        Args:
            ids: `[batch, new]` int64.
            positions: `[batch, new]` int64, each token's place in its own text.
            mask: `[batch, cached + new]` bool, False where a cache slot is padding; of four dimensions it is passed on as it is.
            cache: a transformers `Cache`.
            at: `[batch, n]` int64, the places among the new tokens whose logits are wanted; None for all of them.

        Returns:
            The vectors that the LM head sees, `[batch, new, hidden]`, and the logits, `[batch, n, vocabulary]`, both
            float32. Columns that no token of the tokenizer belongs to (embeddings padded to a round size) are -inf.
        """
        seen: list[Tensor] = []

        def catch(_: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen.append(inputs[0])
            if at is None:
                return inputs
            # The head is a large part of a small model, and few of its rows are ever read.
            return (inputs[0][torch.arange(len(at), device=at.device)[:, None], at], *inputs[1:])

        hook = self.model.get_output_embeddings().register_forward_pre_hook(catch)
        extra = {"position_ids": positions} if _takes(self.model, "position_ids") else {}
        try:
            output = self.model(
                input_ids=ids,
                attention_mask=mask.long() if mask.dim() == 2 else mask,
                past_key_values=cache,
                use_cache=True,
                return_dict=True,
                **extra,
            )
        finally:
            hook.remove()
        return seen[0].float(), self._only_known(output.logits)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits, `[..., vocabulary]` float32, of vectors that the LM head sees, `[..., hidden]`; see `plain_head`."""
        return self._only_known(self.model.get_output_embeddings()(hidden.to(self._dtype)))

    def _only_known(self, logits: Tensor) -> Tensor:
        logits = logits.float()
        if self.known_tokens < logits.shape[-1]:
            logits[..., self.known_tokens :] = -torch.inf
        return logits

    @cached_property
    def plain_head(self) -> bool:
        """Whether the LM head alone makes the logits; some models cap or scale them afterwards."""
        with torch.no_grad():
            context = prefill(self, [[self.end_id, 0]], RowContext)
            return _close(self.head(context.hidden[:, -1])[:, : self.known_tokens], context.logits[:, : self.known_tokens], self)

    @cached_property
    def sees_trees(self) -> bool:
        """Whether candidates that share one forward pass come out as each would alone, found out by trying both."""
        if not self.pads_prompts or self.room(4) < 0:
            return False
        if any(type(layer).__name__ != "DynamicLayer" for layer in self.empty_cache().layers):
            return False
        last = self.known_tokens - 1
        prompts = [[self.end_id, 0, last], [last, 0]]
        candidates = torch.tensor([[last, 0, last], [0, 0, self.end_id]], device=self.device)
        wanted = torch.tensor([[True, True, True], [False, True, True]], device=self.device)
        expected = prefill(self, prompts, RowContext)
        try:
            tree = prefill(self, prompts, TreeContext)
            for context in (expected, tree):
                context.look_ahead(candidates, wanted)
                context.commit(torch.tensor([1, 2], device=self.device))
            second, expected_second = (context.look_ahead(candidates) for context in (tree, expected))
        except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
            return False  # its attention cannot be replaced from outside; each architecture fails in its own way
        return _close(tree.hidden, expected.hidden, self) and _close(second, expected_second, self)


def _close(computed: Tensor, expected: Tensor, lm: LanguageModel) -> bool:
    """Equal but for rounding in the model's dtype; what is computed wrongly is off by far more."""
    scale = torch.finfo(lm.model.dtype).eps ** 0.5
    return bool((computed - expected).abs().max() <= scale * expected.abs().max())


def _empty_cache(model: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=model.config)


def _takes(model: Any, argument: str) -> bool:
    code = type(model).forward
    code = getattr(code, "__wrapped__", code)
    return argument in code.__code__.co_varnames


def _context_length(config: Any) -> int | None:
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that never belong in a text: flagged as special, or added to the vocabulary in angle brackets."""
    added = tokenizer.added_tokens_decoder.items()
    brackets = {i for i, token in added if token.special or (token.content[:1] == "<" and token.content[-1:] == ">")}
    # A special token that the vocabulary lacks has no id.
    return frozenset(brackets | {int(i) for i in tokenizer.all_special_ids if i is not None})
