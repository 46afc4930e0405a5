"""How it is said: a suite's decoders planned, executed and stored; texts that other systems made, kept as runs.

experiment.py   a suite with its data read and hashed once
plan.py         one decoder of a suite, pinned down
planned_image.py  an image as it was when the run was planned
run.py          decode what is missing of a plan
executor.py     who decodes: this process, or `cluster/` on Ray
imported/       other people's outputs
"""
