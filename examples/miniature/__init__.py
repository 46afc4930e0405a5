"""The published experiments in miniature: every step of the real ones, on small copies, without a network."""
