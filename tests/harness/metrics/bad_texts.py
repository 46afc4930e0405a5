"""Texts that somebody's system will say one day."""

from __future__ import annotations

BAD = {
    "empty": "",
    "blank": " \t\n ",
    "nul": "a \0 dog",
    "emoji": "👩‍👩‍👧 🐕🏽",
    "right to left": "كلب أحمر ‮על הספה‬",
    "half a surrogate pair": "a \ud83d dog",
    "special": "a dog <|endoftext|> [CLS] </s>",
    "long": "a red dog on a mat " * 1_700,
    "lines": "a dog\r\n\u2028on a mat",
}
"""Ten thousand words are in `long`."""
SILENT = ("empty", "blank")
"""Those that say nothing."""
