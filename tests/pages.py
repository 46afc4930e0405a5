"""Documentation as tests read it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def block(page: str, language: str, containing: str) -> str:
    """The one code block of a page that is in a language and contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    [found] = [each for each in blocks if containing in each]
    return str(found)
