"""The contract: what every decoder must do, whatever it does.

Each rule is a function that tries a decoder on the fake models and raises `ContractBroken` at the first break. Its name is the
function's, its meaning the first line of the docstring.
"""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any, cast, get_args

import numpy as np
import torch
from pydantic import ValidationError

from decoders.base import Decoder, DecoderConfig, Generation, Limits, Models, Need, Prompt
from decoders.errors import NeedMissing, PromptTooLong, SeeTellError, UnreadableImage
from decoders.models.language_model import LanguageModel
from decoders.testing.fakes import fake_models
from decoders.testing.trial import (
    LIMITS,
    ONE_EACH,
    SHORT_CONTEXT,
    WELL_FORMED,
    ContractBroken,
    Forbidden,
    Trial,
    Work,
    encoded,
    items,
    steered,
)

__all__ = ["CONTRACT", "ContractBroken", "check_decoder"]

_PURITY = "Nothing but config, models, prompt and seed may decide the text"
_PART_OF_MODELS = {Need.LM: "language_model", Need.CLIP: "image_text", Need.INDEX: "caption_index"}


def check_decoder(
    decoder: type[Decoder], config: DecoderConfig | Mapping[str, Any] | None = None, *, rule: str | None = None
) -> None:
    """Hold a decoder to the contract.

    Args:
        decoder: its class.
        config: its settings, a `Config` or the values of one; by default the defaults. Choose ones that are quick: it decodes
            a few hundred short texts.
        rule: one of `CONTRACT`; by default all of them.

    Raises:
        ContractBroken: at the first rule that it breaks.
        ValueError: there is no such rule.
    """
    if rule is not None and rule not in _RULES:
        raise ValueError(f"the contract has no rule {rule!r}; it has {', '.join(_RULES)}")
    for name in [rule] if rule else _RULES:
        check = _RULES[name]
        says = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        if not isinstance(config, DecoderConfig):
            config = _config(decoder, config or {}, name, says)
        check(Trial(decoder, config, name, says))


def _config(decoder: type[Decoder], values: Mapping[str, Any], rule: str, says: str) -> DecoderConfig:
    if not (isinstance(decoder.Config, type) and issubclass(decoder.Config, DecoderConfig)):
        raise ContractBroken(
            "declaration",
            f"{decoder.__name__}.Config is {decoder.Config!r}. Derive it from decoders.DecoderConfig, which is frozen and "
            "refuses unknown keys",
        )
    try:
        return decoder.Config.model_validate(dict(values))
    except ValidationError as error:
        raise ContractBroken(
            rule,
            f"{decoder.__name__} cannot be tried ({says}): its Config refuses {dict(values)}: {error}. Every setting needs a "
            "default, or give check_decoder a config",
        ) from error


def _declaration(trial: Trial) -> None:
    """What it says of itself is of the right kind."""
    kind = trial.kind
    trial.hold(
        isinstance(kind.needs, frozenset) and all(isinstance(need, Need) for need in kind.needs),
        f"`needs` is {kind.needs!r}",
        "Make it a frozenset of decoders.Need",
    )
    trial.hold(
        type(kind.version) is int and kind.version >= 1,
        f"`version` is {kind.version!r}",
        "Make it a whole number from 1",
    )
    trial.hold(type(kind.seeded) is bool, f"`seeded` is {kind.seeded!r}", "Make it True or False")


def _one_each(trial: Trial) -> None:
    """One generation a prompt, whatever sequences the prompts and seeds come in."""
    trial.say(items()[:2])
    expected = trial.usual()[:3]
    prompts, seeds = zip(*items()[:3], strict=True)
    said = trial.well(trial.ask(prompts, seeds, trial.make))
    trial.same(said, expected, items()[:3], "when both are tuples", "Take any sequence")


def _well_formed(trial: Trial) -> None:
    """Generations are what they claim: tokens of the vocabulary, their text, a reason for stopping that fits them."""
    for models in (steered(), steered(never_ends=True)):
        said = trial.usual() if models is steered() else trial.say(items(), models)
        # A decoder may have an end token of its own, such as a full stop; it then ends every text that it stands in.
        ends = {g.tokens[-1] for g in said if g.finish == "eos" and g.tokens}
        for generation, (prompt, _) in zip(said, items(), strict=True):
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
        not specials,
        f"its text {text!r} contains {', '.join(specials)}",
        "Leave special tokens out of texts; `lm.decode` does",
    )
    trial.hold(
        text == " ".join(text.split()), f"its text {text!r} has loose white space", 'Use `" ".join(text.split())`'
    )
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
    what = f"to {prompt.text!r} it stops for {finish!r} with tokens {tokens}"
    trial.hold(bool(tokens), what, "A text that was not written token by token has finish 'retrieved'")
    trial.hold(
        not ends.intersection(tokens[:-1]),
        f"{what}, but ends other texts at {', '.join(map(str, sorted(ends.intersection(tokens[:-1]))))}",
        "Stop at the end token, and say 'eos' only then",
    )
    trial.hold(
        (finish == "eos") == (tokens[-1] in ends),
        what,
        "Say 'eos' when the last token is one that ends texts, else 'length'",
    )
    trial.hold(
        finish == "eos" or len(tokens) == LIMITS.max_new_tokens,
        f"{what}, though it may write {LIMITS.max_new_tokens}",
        "Say 'length' only when the limit is reached",
    )


def _same_twice(trial: Trial) -> None:
    """The same again, from the same instance, from a new one, and from new models."""
    decoder = trial.make()
    expected = trial.say(items(), by=decoder)
    remedy = f"{_PURITY}; take random numbers from `step.noise`, and keep no state that changes what is said"
    trial.same(trial.say(items(), by=decoder), expected, items(), "when asked again", remedy)
    trial.same(trial.say(items()), expected, items(), "from a new instance", remedy)
    trial.same(trial.say(items(), fake_models()), expected, items(), "with the models made anew", remedy)


def _batch_size(trial: Trial) -> None:
    """Batches of 1, 2, 3 and 7 give what one batch gives."""
    expected, decoder = trial.usual(), trial.make()
    for size in (1, 2, 3, 7):
        said = [
            generation
            for start in range(0, len(items()), size)
            for generation in trial.say(items()[start : start + size], by=decoder)
        ]
        trial.same(
            said, expected, items(), f"in batches of {size}", f"{_PURITY}, and so never how many are decoded together"
        )


def _order(trial: Trial) -> None:
    """Prompts may come in any order."""
    expected = trial.usual()
    places = range(len(items()))
    for order in (list(places)[::-1], random.Random(1).sample(places, len(places))):
        work = [items()[place] for place in order]
        trial.same(
            trial.say(work),
            [expected[place] for place in order],
            work,
            f"in the order {order}",
            f"{_PURITY}; answer each prompt in its own place, with its own seed",
        )


def _subset(trial: Trial) -> None:
    """Who else is in the batch makes no difference."""
    expected = trial.usual()
    for places in ([0, 2, 4, 6], [1, 5], [7, 0, 1]):
        work = [items()[place] for place in places]
        trial.same(
            trial.say(work),
            [expected[place] for place in places],
            work,
            f"beside the prompts {[prompt.text for prompt, _ in work]} alone",
            f"{_PURITY}, and so never the neighbours; look at padding first",
        )


def _duplicates(trial: Trial) -> None:
    """A prompt that comes several times gets the same text every time, and with another seed what that seed alone gives."""
    remedy = f"{_PURITY}, and so never what was said before"
    for place in (0, 3):
        prompt, seed = items()[place]
        work = [(prompt, seed), items()[5], (prompt, seed + 1), (prompt, seed), (prompt, seed + 1)]
        expected = [trial.say([item])[0] for item in work]
        trial.same(trial.say(work), expected, work, "when it comes several times", remedy)


def _ids(trial: Trial) -> None:
    """The id of a prompt is a name for messages and decides nothing."""
    work = [(replace(prompt, id="x" * (number % 3)), seed) for number, (prompt, seed) in enumerate(items())]
    trial.same(trial.say(work), trial.usual(), work, "under another id", f"{_PURITY}; the id is none of these")


def _seeds(trial: Trial) -> None:
    """The seed decides where `seeded` is declared, and nowhere else; all 64 bits are taken."""
    for bits, seeds in {"low": list(range(8)), "high": [3 + (number << 61) for number in range(8)]}.items():
        kinds = []
        for place in (0, 2):
            prompt = items()[place][0]
            work = [(prompt, seed) for seed in seeds]
            said = trial.say(work)
            trial.same(trial.say(work), said, work, "when asked again", "Derive all noise from the seed")
            kinds.append(len({(generation.text, generation.tokens) for generation in said}))
        if trial.kind.seeded:
            trial.hold(
                max(kinds) > 1,
                f"8 seeds that differ in their {bits} bits give the same text",
                "Draw with `step.noise` or `step.gumbel`; a decoder that draws nothing declares `seeded = False`",
            )
        else:
            trial.hold(
                max(kinds) == 1,
                f"8 seeds give {max(kinds)} different texts, though it declares `seeded = False`",
                "Declare `seeded = True`, or ignore the seed",
            )


def _length_limits(trial: Trial) -> None:
    """`max_new_tokens`, `max_length` and the model's context are kept to, down to a single token, and used in full."""
    if not trial.writes:
        return
    reads, endless, short = (
        trial.reads_prompts,
        steered(never_ends=True),
        steered(never_ends=True, context=SHORT_CONTEXT),
    )
    longest = max(encoded(endless.lm, prompt) for prompt, _ in items())
    tries = [(endless, Limits(n)) for n in (1, 2, 5)]
    tries += [(steered(), Limits(3)), (short, Limits()), (endless, Limits(3, SHORT_CONTEXT))]
    tries += [(endless, Limits(max_length=length)) for length in (longest + 1, longest + 4)]
    for models, limits in tries:
        work = items()[:3] if limits == Limits() else items()
        said = trial.attempt(work, models, limits)
        if isinstance(said, PromptTooLong) and not reads and limits.max_new_tokens is None:
            continue  # what it continues in place of the prompts is too long, which only it can know
        if isinstance(said, SeeTellError):
            raise trial.broken(f"under {limits} it raised {said}", "There is room; decode") from said
        for generation, (prompt, _) in zip(said, work, strict=True):
            used = encoded(models.lm, prompt) if reads else 1
            lengths = [each for each in (limits.max_length, models.lm.context_length) if each is not None]
            rooms = [limits.max_new_tokens, *(length - used for length in lengths)]
            room = min(each for each in rooms if each is not None)
            full = reads or room == limits.max_new_tokens
            trial.hold(
                len(generation.tokens) <= room,
                f"to {prompt.text!r}, under {limits} and in a context of {models.lm.context_length}, it writes "
                f"{len(generation.tokens)} tokens where {room} fit",
                "Ask `decoders.loop.room_for` how many a prompt may have; the end token counts",
            )
            trial.hold(
                not full or generation.finish == "eos" or len(generation.tokens) == room,
                f"to {prompt.text!r}, under {limits}, it stops for {generation.finish!r} after {len(generation.tokens)} tokens "
                f"where {room} fit",
                "Go on until the end token or the limit",
            )


def _no_room(trial: Trial) -> None:
    """A prompt that leaves no room for a new token is `PromptTooLong`, and the message names it."""
    if not trial.writes:
        return
    lm = steered().lm
    if trial.reads_prompts:
        place = max(range(len(items())), key=lambda place: encoded(lm, items()[place][0]))
        filling = replace(items()[place][0], text="A red kite over " * SHORT_CONTEXT)
        tries: list[tuple[Prompt, Models, Limits]] = [
            (items()[place][0], steered(), Limits(max_length=encoded(lm, items()[place][0]))),
            (filling, steered(context=SHORT_CONTEXT), Limits(4)),
        ]
    else:
        tries = [(items()[1][0], steered(), Limits(max_length=1))]
    for prompt, models, limits in tries:
        for work in ([(prompt, 1)], [items()[0], (prompt, 1)]):
            said = trial.attempt(work, models, limits)
            trial.hold(
                isinstance(said, PromptTooLong) and (len(work) > 1 or prompt.id in str(said)),
                f"a prompt of {encoded(lm, prompt)} tokens in a context of {models.lm.context_length} under {limits} gave "
                + (f"{type(said).__name__}: {said}" if isinstance(said, SeeTellError) else f"{said[-1]}"),
                "Ask `decoders.loop.room_for`, which raises PromptTooLong with the prompt's id",
            )


def _empty_prompt(trial: Trial) -> None:
    """An empty prompt is the start token alone, in company or by itself."""
    lm = steered().lm
    start = lm.decode(lm.encode(""), skip_special=False)
    empty = [(replace(prompt, text=""), seed) for prompt, seed in items()[:3]]
    alone = [trial.say([item])[0] for item in empty]
    mixed = trial.say([*empty, *items()[3:]])
    trial.same(mixed[:3], alone, empty, "beside longer prompts", f"{_PURITY}; look at padding first")
    if Need.LM in trial.kind.needs:
        spelled = [(replace(prompt, text=start), seed) for prompt, seed in empty]
        trial.same(
            trial.say(spelled), alone, spelled, "to the start token", "Use `lm.encode`, which knows empty prompts"
        )


def _empty_batch(trial: Trial) -> None:
    """No prompts, no generations."""
    said = trial.say([])
    trial.hold(said == [], f"it gave {said!r} for an empty batch", "Return an empty list")


def _end_at_once(trial: Trial) -> None:
    """Where the end token is certain, the text is empty and the finish 'eos'."""
    if not trial.writes:
        return
    models = steered(end_at_once=True)
    for work in (items(), items()[2:3]):
        for generation, (prompt, _) in zip(trial.say(work, models), work, strict=True):
            trial.hold(
                (generation.text, generation.tokens, generation.finish) == ("", (models.lm.end_id,), "eos"),
                f"to {prompt.text!r} it says {generation.text!r} {generation.tokens} ({generation.finish})",
                f"Stop at the end token ({models.lm.end_id}) even if it comes first, and keep it as last token. A decoder that "
                "means to write on leaves this rule out",
            )


def _missing_needs(trial: Trial) -> None:
    """Without a model or an image that it declares, it raises `NeedMissing`."""
    for need, part in _PART_OF_MODELS.items():
        if need in trial.kind.needs:
            said = trial.attempt(items()[:3], replace(steered(), **{part: None}))
            _expect_need(trial, said, need, f"without a {part.replace('_', ' ')}", items()[:3])
    if Need.IMAGE in trial.kind.needs:
        blind = replace(items()[1][0], image=None)
        for work in ([(blind, 1)], [items()[0], (blind, 1), items()[2]]):
            said = trial.attempt(work)
            _expect_need(trial, said, Need.IMAGE, "to a prompt without an image", work)
            trial.hold(
                not isinstance(said, NeedMissing) or blind.id in str(said),
                f"its message does not name the prompt {blind.id!r}: {said}",
                "Use `decoders.loop.images_of`, which does",
            )


def _expect_need(trial: Trial, said: list[Generation] | SeeTellError, need: Need, without: str, work: Work) -> None:
    if isinstance(said, SeeTellError):
        kept = isinstance(said, NeedMissing)
        what = f"{without} it raised {type(said).__name__}: {said}"
    else:
        # A setting may make a need idle. That is no break, as long as the text is the same.
        with_it = trial.say(
            [(replace(prompt, image=prompt.image or items()[1][0].image), seed) for prompt, seed in work]
        )
        kept = [generation.text for generation in said] == [generation.text for generation in with_it]
        what = f"{without} it says something else, {said[0].text!r}"
    trial.hold(
        kept,
        what,
        f"Ask for models by `self.models.lm`, `.clip` and `.index`, for images by `decoders.loop.images_of`: they raise "
        f"NeedMissing. If it can do without, drop Need.{need.name}",
    )


def _unreadable_image(trial: Trial) -> None:
    """An image that cannot be opened is `UnreadableImage` for those who look at images, and nothing to the others."""
    whole = items()[1][0].image
    broken: list[bytes | Path] = [b"no image", cast("bytes", whole)[:60], Path("there-is-no-such-file.png")]
    for image in broken:
        work = [items()[0], (replace(items()[1][0], image=image), items()[1][1])]
        said = trial.attempt(work)
        shown = str(image)[:24] if isinstance(image, Path) else f"{len(image)} bytes"
        if Need.IMAGE in trial.kind.needs:
            trial.hold(
                isinstance(said, UnreadableImage),
                f"given {shown} it gave {said if isinstance(said, SeeTellError) else said[1]!r}",
                "Open images by `models.clip.image_features` or `decoders.open_image`, and let their errors pass",
            )
        else:
            trial.same(trial.say(work), trial.usual()[:2], work, f"given {shown}", "Add Need.IMAGE to its `needs`")


def _undeclared_needs(trial: Trial) -> None:
    """What it does not declare, it does not use."""
    needs = trial.kind.needs
    touched: list[str] = []
    guarded: dict[str, Any] = {
        part: Forbidden(trial, need, touched) for need, part in _PART_OF_MODELS.items() if need not in needs
    }
    expected = trial.usual()
    work = [(prompt if Need.IMAGE in needs else replace(prompt, image=None), seed) for prompt, seed in items()]
    said = trial.say(work, replace(steered(), **guarded))
    trial.hold(not touched, f"it uses {', '.join(sorted(set(touched)))}", "Add what it uses to its `needs`")
    trial.same(said, expected, work, "without what it does not declare", "Add what it uses to its `needs`")
    absent = replace(steered(), **dict.fromkeys(guarded))
    trial.same(trial.say(work, absent), expected, work, "with None in its place", "Add what it uses to its `needs`")


def _config_round_trip(trial: Trial) -> None:
    """The config is frozen, refuses unknown keys, can be written in TOML, and comes back equal."""
    config, kind = trial.config, trial.kind.Config
    values = config.model_dump()
    _refused(
        trial, lambda: kind.model_validate({**values, "no_such_setting": 1}), "takes an unknown key", 'extra="forbid"'
    )
    for name, value in values.items():
        _refused(trial, lambda n=name, v=value: setattr(config, n, v), f"lets {name!r} be set", "frozen=True")  # type: ignore[misc]
    for name, field in kind.model_fields.items():
        trial.hold(
            field.is_required() or field.default is None or NoneType not in get_args(field.annotation),
            f"{name!r} may be None, which TOML cannot say, and its default is {field.get_default(call_default_factory=True)!r}",
            "Give what None means a value of its own",
        )
    try:
        as_json = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise trial.broken(f"{values} is no JSON: {error}", "Use str, int, finite float, bool, lists") from error
    document = "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in as_json.items() if value is not None)
    expected = trial.usual()[:3]
    ways: dict[str, Callable[[], DecoderConfig]] = {
        "a dump": lambda: kind.model_validate(values),
        "JSON": lambda: kind.model_validate_json(config.model_dump_json()),
        "TOML": lambda: kind.model_validate(tomllib.loads(document)),
    }
    for way, read in ways.items():
        try:
            again = read()
        except (ValidationError, tomllib.TOMLDecodeError) as error:
            raise trial.broken(f"{values} does not come back from {way}: {error}", "Accept what is dumped") from error
        trial.hold(
            again == config, f"{config!r} comes back from {way} as {again!r}", "Let values be what they are dumped as"
        )
        trial.same(
            replace(trial, config=again).say(items()[:3]), expected, items()[:3], f"after {way}",
            "Put everything that decides the text into fields of the config",
        )  # fmt: skip


def _refused(trial: Trial, action: Callable[[], object], what: str, setting: str) -> None:
    try:
        action()
    except ValidationError:
        return
    raise trial.broken(f"its Config {what}", f"Derive it from decoders.DecoderConfig and leave {setting} as it is")


def _toml(value: object) -> str:
    """A JSON value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _inputs(trial: Trial) -> None:
    """Prompts, seeds, config and models are left as they were."""
    models = fake_models()
    prompts, seeds = [prompt for prompt, _ in items()], [seed for _, seed in items()]
    weights = {name: value.clone() for name, value in _weights(models).items()}
    settings, captions, size = trial.config.model_dump(), list(models.index.captions), len(models.lm.tokenizer)
    decoder = trial.make(models)
    trial.well(trial.ask(prompts, seeds, lambda: decoder))
    trial.hold(
        prompts == [prompt for prompt, _ in items()] and seeds == [seed for _, seed in items()],
        f"the batch it was given is now {len(prompts)} prompts, beginning with {prompts[:1]}, and {len(seeds)} seeds",
        "Copy a list before you change it",
    )
    trial.hold(
        decoder.config.model_dump() == settings == trial.config.model_dump(),
        f"its settings were {settings} and are {decoder.config.model_dump()}",
        "Keep what changes elsewhere",
    )
    changed = [name for name, value in _weights(models).items() if not torch.equal(value, weights[name])]
    trial.hold(not changed, f"it changed the weights {changed[:3]}", "Models are shared; copy what you change")
    modules = (models.lm.model, models.clip.model)
    trial.hold(
        not any(module.training or any(p.requires_grad for p in module.parameters()) for module in modules),
        "a model is left in training mode or with gradients",
        "Models are shared and frozen; leave them in evaluation mode",
    )
    trial.hold(
        list(models.index.captions) == captions,
        "it changed the captions of the index",
        "The index is shared; copy what you change",
    )
    trial.hold(len(models.lm.tokenizer) == size, "it added tokens to the tokenizer", "The tokenizer is shared")


def _weights(models: Models) -> dict[str, torch.Tensor]:
    return {
        f"{kind}.{name}": value
        for kind, module in (("language_model", models.lm.model), ("image_text", models.clip.model))
        for name, value in module.state_dict().items()
    }


def _global_randomness(trial: Trial) -> None:
    """The random state of the process is neither used nor changed, and neither is its switch for gradients."""
    before = _random_states()
    try:
        answers = []
        for seed in (1, 2):
            _seed_everything(seed)
            state = _random_states()
            answers.append(trial.say(items()))
            moved = [name for name, value in _random_states().items() if not _equal(value, state[name])]
            trial.hold(
                not moved,
                f"it draws from or sets the global generator of {', '.join(moved)}",
                "Take random numbers from `step.noise`, or from a generator of your own that starts from the seed",
            )
            trial.hold(
                torch.is_grad_enabled(), "it switches gradients off for the whole process", "Use `torch.no_grad()`"
            )
        trial.same(answers[1], answers[0], items(), "after another global seed", "Derive all noise from the seed")
    finally:
        random.setstate(before["random"])
        np.random.set_state(before["numpy.random"])  # noqa: NPY002
        torch.random.set_rng_state(before["torch"])
        torch.set_grad_enabled(True)


def _random_states() -> dict[str, Any]:
    return {"random": random.getstate(), "numpy.random": np.random.get_state(), "torch": torch.random.get_rng_state()}  # noqa: NPY002


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return bool((one == other).all())
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


_RULES: dict[str, Callable[[Trial], None]] = {
    "declaration": _declaration,
    ONE_EACH: _one_each,
    WELL_FORMED: _well_formed,
    "same-twice": _same_twice,
    "batch-size": _batch_size,
    "order": _order,
    "subset": _subset,
    "duplicates": _duplicates,
    "ids": _ids,
    "seeds": _seeds,
    "length-limits": _length_limits,
    "no-room": _no_room,
    "empty-prompt": _empty_prompt,
    "empty-batch": _empty_batch,
    "end-at-once": _end_at_once,
    "missing-needs": _missing_needs,
    "unreadable-image": _unreadable_image,
    "undeclared-needs": _undeclared_needs,
    "config": _config_round_trip,
    "inputs": _inputs,
    "global-randomness": _global_randomness,
}
CONTRACT: tuple[str, ...] = tuple(_RULES)
"""The names of the rules."""
