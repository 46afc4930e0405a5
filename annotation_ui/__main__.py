"""`python -m annotation_ui`: what `seetell annotate` becomes. The study is named by the environment, not by the process list."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from decoders.errors import SeeTellError


def main() -> int:
    """Serve the study that `SEETELL_STUDY` names."""
    parser = argparse.ArgumentParser(prog="python -m annotation_ui")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    from annotation_ui.server import serve

    try:
        serve(os.environ.pop("SEETELL_STUDY", "."), chosen.host, chosen.port, browse=chosen.open, results=chosen.results)
    except SeeTellError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
