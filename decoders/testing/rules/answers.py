"""What a decoder declares, and what its answers look like."""

from __future__ import annotations

import math
from collections.abc import Callable

from decoders.base import Generation, Need, Prompt
from decoders.models.language_model import LanguageModel
from decoders.testing.trial import LIMITS, ONE_EACH, WELL_FORMED, Trial, items, steered


def _declaration(trial: Trial) -> None:
    """What it says of itself is of the right kind."""
    kind = trial.kind
    trial.hold(
        isinstance(kind.needs, frozenset) and all(isinstance(need, Need) for need in kind.needs),
        f"`needs` is {kind.needs!r}",
        "Make it a frozenset of decoders.Need",
    )
    trial.hold(type(kind.version) is int and kind.version >= 1, f"`version` is {kind.version!r}", "Make it a whole number from 1")
    trial.hold(type(kind.seeded) is bool, f"`seeded` is {kind.seeded!r}", "Make it True or False")


def _one_each(trial: Trial) -> None:
    """One generation a prompt, whatever sequences the prompts and seeds come in."""
    trial.decode(items()[:2])
    expected = trial.decode_items()[:3]
    prompts, seeds = zip(*items()[:3], strict=True)
    answer = trial.well(trial.ask(prompts, seeds, trial.make))
    trial.same(answer, expected, items()[:3], "when both are tuples", "Take any sequence")


def _well_formed(trial: Trial) -> None:
    """Generations are what they claim: tokens of the vocabulary, their text, a reason for stopping that fits them."""
    for models in (steered(), steered(never_ends=True)):
        answer = trial.decode_items() if models is steered() else trial.decode(items(), models)
        # A decoder may have an end token of its own, such as a full stop; it then ends every text that it is in.
        ends = {g.tokens[-1] for g in answer if g.finish == "eos" and g.tokens}
        for generation, (prompt, _) in zip(answer, items(), strict=True):
            _check_types(trial, generation)
            _check_text(trial, generation, prompt, models.lm)
            if generation.finish != "retrieved":
                _check_finish(trial, generation, prompt, ends | {models.lm.end_id})


def _check_types(trial: Trial, generation: Generation) -> None:
    trial.hold(type(generation.text) is str, f"its text is {generation.text!r}", "Make it a str")
    trial.hold(
        isinstance(generation.tokens, tuple) and all(type(token) is int for token in generation.tokens),
        f"its tokens are {generation.tokens!r}",
        "Make them a tuple of int: `tuple(tensor.tolist())`",
    )
    trial.hold(
        generation.finish in ("eos", "length", "retrieved"),
        f"its finish is {generation.finish!r}",
        "Make it 'eos', 'length' or 'retrieved'",
    )
    for key, value in generation.trace.items():
        trial.hold(
            type(key) is str and type(value) is float and math.isfinite(value),
            f"its trace has {key!r}: {value!r}",
            "Trace finite floats under names: `float(value)`",
        )


def _check_text(trial: Trial, generation: Generation, prompt: Prompt, lm: LanguageModel) -> None:
    text, tokens = generation.text, generation.tokens
    specials = [piece for piece in lm.tokenizer.all_special_tokens if piece in text]
    trial.hold(
        not specials, f"its text {text!r} contains {', '.join(specials)}", "Leave special tokens out of texts; `lm.decode` does"
    )
    trial.hold(text == " ".join(text.split()), f"its text {text!r} has loose white space", 'Use `" ".join(text.split())`')
    known = len(lm.tokenizer)
    trial.hold(
        all(0 <= token < known for token in tokens),
        f"its tokens {tokens} are not all between 0 and {known - 1}",
        "Give ids of the language model's vocabulary",
    )
    written = " ".join(lm.decode(tokens).split())
    trial.hold(
        not tokens or text == written,
        f"to {prompt.text!r} its text is {text!r}, but its tokens {tokens} read {written!r}",
        'Make the text of the new tokens alone: `" ".join(lm.decode(tokens).split())`',
    )


def _check_finish(trial: Trial, generation: Generation, prompt: Prompt, ends: set[int]) -> None:
    tokens, finish = generation.tokens, generation.finish
    observation = f"to {prompt.text!r} it stops for {finish!r} with tokens {tokens}"
    trial.hold(bool(tokens), observation, "A text that was not written token by token has finish 'retrieved'")
    trial.hold(
        not ends.intersection(tokens[:-1]),
        f"{observation}, but ends other texts at {', '.join(map(str, sorted(ends.intersection(tokens[:-1]))))}",
        "Stop at the end token, and say 'eos' only then",
    )
    trial.hold(
        (finish == "eos") == (tokens[-1] in ends),
        observation,
        "Say 'eos' when the last token is one that ends texts, else 'length'",
    )
    trial.hold(
        finish == "eos" or len(tokens) == LIMITS.max_new_tokens,
        f"{observation}, though it may write {LIMITS.max_new_tokens}",
        "Say 'length' only when the limit is reached",
    )


def _empty_batch(trial: Trial) -> None:
    """No prompts, no generations."""
    answer = trial.decode([])
    trial.hold(answer == [], f"it gave {answer!r} for an empty batch", "Return an empty list")


RULES: dict[str, Callable[[Trial], None]] = {
    "declaration": _declaration,
    ONE_EACH: _one_each,
    WELL_FORMED: _well_formed,
    "empty-batch": _empty_batch,
}
