"""Plug-ins as users install them: a folder on the path with a module and the metadata of a distribution."""

from __future__ import annotations

from pathlib import Path

ECHO = '''
"""A plug-in for tests: it says what it was asked, and how often."""
import os
import time
from pathlib import Path
from decoders.base import Decoder, DecoderConfig, Generation
from decoders.errors import UnreadableImage

class Config(DecoderConfig):
    word: str = "echo"
    """What it says before the prompt."""

class Echo(Decoder):
    """Says the prompt back."""

    Config = Config
    seeded = True

    def decode(self, prompts, seeds):
        for prompt in prompts:
            if "UNREADABLE" in prompt.text:
                raise UnreadableImage(f"{prompt.id} is no image")
        log = os.environ.get("ECHO_LOG")
        if log:
            with Path(log).open("a") as file:
                file.writelines(f"{prompt.id} {seed}\\n" for prompt, seed in zip(prompts, seeds))
        time.sleep(float(os.environ.get("ECHO_PAUSE", "0")))
        return [Generation(f"{self.config.word} {prompt.text} {seed % 1000}", (), "eos") for prompt, seed in zip(prompts, seeds)]
'''


def install(folder: Path, distribution: str, module: str, source: str, entries: dict[str, dict[str, str]]) -> Path:
    """Write a distribution into `folder`, to be put on `sys.path`.

    Args:
        folder: made if missing.
        distribution: its name, such as `my-decoder`.
        module: the name of its one module.
        source: that module's text.
        entries: entry points, group to name to target.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    lines = []
    for group, names in entries.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
