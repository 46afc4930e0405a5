"""The published experiments in miniature: every step of the real ones, on small copies, without a network."""

IMAGE_TEXT = "miniature/clip"
"""Stands in for OpenAI's CLIP, whose size open_clip's name for it fixes."""
