"""Models of the published sizes whose weights are random, except for what makes them behave like trained ones.

How long decoding takes depends little on what the weights are, but not on nothing. A language model that likes all
tokens alike keeps every candidate in the race; an image-text model that finds all texts alike leaves the choice to
rounding. So three things are put right, in closed form and with nothing trained:

* **Next tokens are as uncertain as a caption model's.** A GPT-2 small with normal weights reads sentences of a made-up
  language: words fall into classes, a class has favourite successors with probabilities as in Zipf's law, a full stop
  grows likely after nine words, and after it the text ends (or, for stories, the next sentence begins). The head, not tied to
  the embeddings, is the ridge regression from the final hidden states to that language's log-probabilities, scaled until the
  mean entropy of the next token is `ENTROPY`. What the network makes of a word's surroundings is random.
* **Texts differ for the image-text model, and so do images.** The final hidden states of a random ViT-B/32 CLIP are nearly
  the same whatever it sees. The biases of its last layer norms are moved so that images are centred, and texts so far that
  the scaled cosines of random candidates of one step have a standard deviation of `SPREAD`. The logit scale is 100, as published.
* **Tokens are English words**, one or two of CLIP's tokens each: the words of CLIP's vocabulary, which comes with open_clip,
  are what a byte-level BPE tokenizer is trained on.

Figures made with them are about speed and memory. The texts mean nothing.
"""

from __future__ import annotations

import functools
import io
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from decoders.models import torchvision_schemas
from harness.bench.yardsticks import pooled_texts, without_bars
from harness.store.runs import cache_folder

VERSION = 3
"""Of the recipe; another number makes the models again."""


ENTROPY = 2.3
"""Nats; about what a language model that was adapted to captions has."""


SPREAD = 2.5
"""Standard deviation of 100 * cosine over the candidates of a step, as with CLIP's trained weights."""


END, START, PAD = "<|endoftext|>", "<-start_of_text->", "<-pad->"


_VOCABULARY = 50257


_CLASSES, _SUCCESSORS, _WORDS = 48, 400, 4000


_ZIPF = 1.5


_SENTENCES = 240


_LONGEST = 28


def language_model(kind: str, say: Callable[[str], None] = lambda _: None) -> str:
    """The name to load a GPT-2 small by; made on first use.

    Args:
        kind: `captions`, whose texts end, or `stories`, which go on.
        say: called when something is made.
    """
    folder = _folder(f"gpt2-small-{kind}")
    if not (folder / "config.json").is_file():
        say(f"making a stand-in for GPT-2 small ({kind}) in {folder}; once, half a minute")
        _in_place(folder, functools.partial(_write_language_model, kind=kind))
    return f"local:{folder}"


def image_text(say: Callable[[str], None] = lambda _: None) -> str:
    """The name to load a CLIP ViT-B/32 by; made on first use."""
    folder = _folder("vit-b-32")
    if not (folder / "open_clip_config.json").is_file():
        say(f"making a stand-in for CLIP ViT-B/32 in {folder}; once, half a minute")
        _in_place(folder, _write_image_text)
    return f"local-dir:{folder}"


def _folder(name: str) -> Path:
    return cache_folder() / "bench" / f"{name}-v{VERSION}"


def _in_place(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside its place and move it there when it is whole."""
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(0)
        with torch.no_grad():
            write(beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    finally:
        torch.random.set_rng_state(state)
        shutil.rmtree(beside, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------- language model


def words() -> list[str]:
    """The words of CLIP's vocabulary, the most frequent first."""
    torchvision_schemas.ensure()
    from open_clip.tokenizer import SimpleTokenizer

    ends = [piece.removesuffix("</w>") for piece in SimpleTokenizer().encoder if piece.endswith("</w>")]
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) > 1]


def tokenizer() -> Any:
    """A tokenizer in GPT-2's format whose tokens are English words, with the tokens that MAGIC's caption models add."""
    torchvision_schemas.ensure()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    known = words()
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[END],
        show_progress=False,
    )  # fmt: skip
    first = [f" {word}" for word in known]
    inside = [*known, *(word.capitalize() for word in known[:2000])]  # enough pieces to fill the vocabulary
    trained.train_from_iterator([*first[:12000] * 3, *first, *inside], trainer)
    fast_tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, bos_token=END, eos_token=END, pad_token=PAD)
    fast_tokenizer.add_special_tokens({"extra_special_tokens": [START]})
    return fast_tokenizer


class Language:
    """Sentences of words in classes.

    Args:
        pieces: ids of the words, the most frequent first.
        stop: id of the full stop.
        end: id of the end token.
        start: id of the start token.
        size: of the vocabulary.
        ends: whether a text ends behind its full stop.
    """

    def __init__(self, pieces: Sequence[int], stop: int, end: int, start: int, size: int, *, ends: bool) -> None:
        self.rng = np.random.default_rng(0)
        self.pieces = np.array(pieces[:_WORDS])
        self.stop, self.end, self.start, self.ends = stop, end, start, ends
        self.class_of = np.full(size, 0)
        self.class_of[self.pieces] = self.rng.integers(1, _CLASSES, len(self.pieces))
        # Log-probabilities of the successors of each class; what is no successor is unlikely, and more or less so.
        self.table = self.rng.normal(-13, 1, (_CLASSES, size))
        for row in self.table:
            rank = np.arange(1, _SUCCESSORS + 1)
            row[self.rng.choice(self.pieces, _SUCCESSORS, replace=False)] = -_ZIPF * np.log(rank)
        self.table -= np.log(np.exp(self.table).sum(axis=1, keepdims=True))
        self._cumulated = np.exp(self.table).cumsum(axis=1)

    def likeliest_end(self, length: int) -> float:
        """Probability of a full stop behind `length` words of a sentence."""
        return float(1 / (1 + math.exp(-1.2 * (length - 9.5))))

    def sentence(self) -> list[int]:
        """Ids of a text from the start token to the end token or the length limit."""
        ids, length = [self.start], 0
        while len(ids) < _LONGEST:
            if self.rng.random() < self.likeliest_end(length):
                ids.append(self.stop)
                length = 0
                if self.ends:
                    ids.append(self.end)
                    break
                continue
            mass = self._cumulated[self.class_of[ids[-1]]]
            ids.append(int(np.searchsorted(mass, self.rng.random() * mass[-1])))
            length += 1
        return ids

    def targets(self, ids: Sequence[int]) -> tuple[list[int], NDArray[np.float64]]:
        """For each token of a sentence its class, and the log-probability of a full stop and of the end behind it, `[n, 2]`."""
        classes, marks, length = [], [], -1
        for token in ids:
            over = token == self.stop
            length = 0 if over else length + 1
            classes.append(int(self.class_of[token]))
            stop = self.likeliest_end(length)
            marks.append([-9.0 if over else math.log(stop + 1e-5) + 1, 4.0 if over and self.ends else -11.0])
        return classes, np.array(marks)


def _write_language_model(folder: Path, kind: str) -> None:
    torchvision_schemas.ensure()
    from transformers import GPT2Config, GPT2LMHeadModel

    fast_tokenizer = tokenizer()
    vocabulary = fast_tokenizer.get_vocab()
    size = len(fast_tokenizer)
    config = GPT2Config(
        vocab_size=size, tie_word_embeddings=False, bos_token_id=vocabulary[END], eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PAD],
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    pieces = [vocabulary[piece] for piece in (f"Ġ{word}" for word in words()) if piece in vocabulary]
    spoken = Language(pieces, vocabulary["."], vocabulary[END], vocabulary[START], size, ends=kind == "captions")
    set_embeddings(model, spoken)
    fit_head(model, spoken)
    with without_bars():
        model.save_pretrained(folder)
    fast_tokenizer.save_pretrained(folder)


def set_embeddings(model: Any, spoken: Language) -> None:
    """Embeddings as large as the published model's: words of a class are alike, and louder than what the blocks add."""
    embeddings = model.transformer.wte.weight
    shared = torch.randn(_CLASSES, embeddings.shape[1])[torch.from_numpy(spoken.class_of)]
    embeddings.copy_(0.12 * shared + 0.08 * torch.randn(embeddings.shape))


def fit_head(model: Any, spoken: Language) -> None:
    """Solve for the head and scale it; see the module."""
    sentences = sorted((spoken.sentence() for _ in range(_SENTENCES)), key=len)
    hidden = torch.cat([_hidden(model, sentences[at : at + 16]) for at in range(0, len(sentences), 16)]).double()
    classes, marks = [], []
    for ids in sentences:
        of_tokens, of_marks = spoken.targets(ids)
        classes += of_tokens
        marks.append(of_marks)
    onehot = torch.nn.functional.one_hot(torch.tensor(classes), _CLASSES).double()
    gram = hidden.T @ hidden
    gram += 1e-2 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solved = torch.linalg.solve(gram, hidden.T @ torch.cat([onehot, torch.from_numpy(np.concatenate(marks))], dim=1))
    head = torch.from_numpy(spoken.table).T @ solved[:, :_CLASSES].T
    head[[spoken.stop, spoken.end]] = solved[:, _CLASSES:].T
    logits = (hidden[:: max(1, len(hidden) // 200)] @ head.T).float()
    head = head * _bisect(lambda scale: -_entropy(scale * logits), -ENTROPY, 0.05, 20.0)
    model.lm_head.weight.copy_(head.float())


def _hidden(model: Any, sentences: Sequence[Sequence[int]]) -> Tensor:
    """Final hidden states of the tokens of sentences of like length, one sentence after another."""
    longest = max(len(ids) for ids in sentences)
    padded = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in sentences])  # behind, where nothing looks
    states = model.transformer(padded).last_hidden_state
    return torch.cat([states[row, : len(ids)] for row, ids in enumerate(sentences)])


def _entropy(logits: Tensor) -> float:
    log_p = torch.log_softmax(logits, dim=-1)
    return float(-(log_p.exp() * log_p).sum(dim=-1).mean())


def _bisect(rising: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a rising function takes a value, within a thousandth, on a scale of ratios."""
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return math.sqrt(low * high)


# ------------------------------------------------------------------------------------------------- image-text model


def _write_image_text(folder: Path) -> None:
    torchvision_schemas.ensure()
    import open_clip

    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    model = open_clip.model.CLIP(**config).eval()
    transform = open_clip.image_transform(224, is_train=False)
    model.logit_scale.fill_(math.log(100.0))
    spread_features(model, torch.stack([transform(picture) for picture in pictures(24, seed=1)]))
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD), "interpolation": "bicubic",
        "resize_mode": "shortest",
    }  # fmt: skip
    document = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=1))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")


def spread_features(model: Any, pixels: Tensor) -> None:
    """Centre images, and texts as far as it takes; see the module.

    Args:
        model: open_clip's CLIP with a projection and a layer norm behind each tower, changed in place.
        pixels: `[n, 3, side, side]`, images unlike each other.
    """
    model.visual.ln_post.bias -= _before_projection(model.visual, model.encode_image, pixels).mean(dim=0)
    images = torch.nn.functional.normalize(model.encode_image(pixels), dim=-1)
    steps = _candidate_steps()
    from open_clip.tokenizer import SimpleTokenizer

    ids = SimpleTokenizer()([text for step in steps for text in step])
    pooled = pooled_texts(model, ids[:, : int(ids.argmax(dim=-1).max()) + 1])
    mean = pooled.mean(dim=0)

    def spread(share: float) -> float:
        texts = torch.nn.functional.normalize((pooled - min(share, 1.0) * mean) @ model.text_projection, dim=-1)
        logits = 100 * images @ texts.T
        return float(logits.view(len(images), len(steps), -1).std(dim=-1).mean())

    model.ln_final.bias -= min(1.0, _bisect(spread, SPREAD, 0.01, 1.0)) * mean


def _before_projection(tower: Any, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """What a vision tower multiplies with its projection, `[n, width]`: solved from what comes out."""
    solved: Tensor = torch.linalg.lstsq(tower.proj.T.double(), encode(inputs).T.double()).solution
    return solved.T.float()


def _candidate_steps() -> list[list[str]]:
    """Texts as they compete in a step of MAGIC search: one beginning, many last words."""
    rng, known = np.random.default_rng(3), words()[:_WORDS]
    beginnings = [" ".join(rng.choice(known, n)) for n in (1, 3, 6, 9)]
    return [[f"{beginning} {word}" for word in rng.choice(known, 45, replace=False)] for beginning in beginnings]


SIDE = 224


def pictures(count: int, *, seed: int = 0) -> list[Image.Image]:
    """Coarse random patterns in colour, smoothed, 224 pixels wide and high."""
    images = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        cells = int(rng.integers(3, 12))
        coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        images.append(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return images


def picture_files(count: int, *, seed: int = 0) -> list[bytes]:
    """The same as the bytes of JPEG files, so that reading them is part of what is measured, as with photographs."""
    files = []
    for picture in pictures(count, seed=seed):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files
