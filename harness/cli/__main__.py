"""`python -m harness.cli` is `seetell`."""

from harness.cli import main

main()
