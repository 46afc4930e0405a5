"""Decoding speed: `suite` times the decoders of a suite, `published` holds them against the published computations.

suite.py        `seetell bench decoders`: whatever a suite names, side by side
published.py    `seetell bench published`: one method, as published and as SeeTell does it, in turn
yardsticks.py   what the published programs compute, at what it costs them
stand_ins.py    models of the published sizes, for machines without the published weights
meters.py       seconds by part, floating-point operations, the machine's own rate
memory.py       the most memory that one decoder needs, in a process of its own
report.py       tables and Markdown
"""
