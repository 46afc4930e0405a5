"""The worker: one bad example costs that example, a decoder's own fault stops the run, too big a batch is halved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from decoders.base import Prompt
from harness.decode.executor import InlineExecutor, Job, Task
from harness.errors import DecoderFailed, OutOfMemory
from harness.store.runs import Record
from tests.harness.test_spec import spec
from tests.plugins import install

SOURCE = '''
"""A decoder whose manners the prompt decides."""
import torch
from decoders.base import Decoder, Generation
from decoders.errors import PromptTooLong, UnreadableImage

CALLS = []

class Moody(Decoder):
    """Does what the prompt says."""

    def decode(self, prompts, seeds):
        CALLS.append([prompt.id for prompt in prompts])
        for prompt in prompts:
            if prompt.text == "unreadable":
                raise UnreadableImage(f"{prompt.id}: no image")
            if prompt.text == "long":
                raise PromptTooLong(f"{prompt.id}: 99 tokens")
            if prompt.text == "bug":
                raise KeyError("oops")
            if prompt.text == "short list":
                return []
            if prompt.text == "strings":
                return ["text" for _ in prompts]
            if prompt.text.startswith("needs") and len(prompts) > int(prompt.text.split()[1]):
                raise {"cuda": torch.cuda.OutOfMemoryError, "memory": MemoryError, "cpu": RuntimeError}[prompt.text.split()[2]](
                    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return [Generation(prompt.text, (1, 2), "eos") for prompt in prompts]
'''


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    module = f"moody_{abs(hash(str(tmp_path)))}"
    monkeypatch.syspath_prepend(install(tmp_path, "moody", module, SOURCE, {"seetell.decoders": {"moody": f"{module}:Moody"}}))
    wanted = spec(decoder="moody", label="moody", config={}, language_model=None, image_text=None)
    return Job(wanted, None, "cpu", tmp_path)


def decode(job: Job, texts: list[str], batch_size: int = 8, notices: list[str] | None = None) -> list[list[Record]]:
    tasks = [Task((f"ex{i}", 0), Prompt(f"ex{i}", text), i) for i, text in enumerate(texts)]
    said = notices if notices is not None else []
    return list(InlineExecutor(said.append).run(job, tasks, batch_size))


def test_a_bad_example_fails_alone(moody: Job) -> None:
    records = [record for batch in decode(moody, ["a", "unreadable", "b", "c", "long", "d", "e"]) for record in batch]
    assert [record.text for record in records if record.failure is None] == ["a", "b", "c", "d", "e"]
    failures = {record.example_id: record.failure for record in records if record.failure}
    assert {key: (value.kind, value.message) for key, value in failures.items()} == {
        "ex1": ("UnreadableImage", "ex1: no image"),
        "ex4": ("PromptTooLong", "ex4: 99 tokens"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("bug", r"'moody' raised KeyError: 'oops' .*ex1"), ("short list", "0 texts for 3"), ("strings", "list of Generation")],
)
def test_a_decoders_own_fault_stops_the_run(moody: Job, text: str, message: str) -> None:
    with pytest.raises(DecoderFailed, match=message):
        decode(moody, ["a", text, "b"])


@pytest.mark.parametrize("kind", ["cuda", "memory", "cpu"])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(moody: Job, kind: str) -> None:
    notices: list[str] = []
    batches = decode(moody, [f"needs 3 {kind}"] * 17, batch_size=16, notices=notices)
    assert [record.example_id for batch in batches for record in batch] == [f"ex{i}" for i in range(17)]
    assert max(len(batch) for batch in batches) == 2
    assert notices == [f"out of memory with {size} examples at once; continuing with {size // 2}" for size in (16, 8, 4)]


def test_one_example_that_does_not_fit_is_an_error(moody: Job) -> None:
    with pytest.raises(OutOfMemory, match="one example \\('ex0'\\) does not fit cpu"):
        decode(moody, ["needs 0 memory"] * 4)


def test_another_runtime_error_is_not_taken_for_a_lack_of_memory(moody: Job) -> None:
    assert torch is not None
    with pytest.raises(DecoderFailed):
        decode(moody, ["bug"])
