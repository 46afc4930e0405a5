"""How it is said: a suite's decoders planned, executed and stored; texts that other systems made, kept as runs.

plan.py         one decoder of a suite, pinned down
run.py          decode what is missing of a plan
executor.py     who decodes: this process, or `cluster/` on Ray
imported/       other people's outputs
"""
