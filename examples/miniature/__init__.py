"""The published experiments in miniature: every step of the real experiments, on small copies, without a network."""

IMAGE_TEXT = "miniature/clip"
"""Replaces OpenAI's CLIP, because open_clip's name for that model fixes its size."""
