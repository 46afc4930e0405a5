"""Adapt a language model to a kind of text: maximum likelihood plus SimCTG's contrastive loss.

losses.py       the two losses, perplexity, how alike hidden states are
loop.py         updates: batches, accumulation, clipping, the learning rate
recipe.py       everything that decides the weights, and the published values of it
corpus.py       texts to learn from and to select by (nothing of the test data among them), and as token ids
checkpoint.py   the state of a training on disk, from which it goes on to the same bits
lm.py           `seetell train lm`: all of it together (with curves.py and card.py: the picture and the README)
compare.py      `seetell train compare`: adapted models beside each other
"""

from harness.training.loop import Adaptation, Trainer, adapt
from harness.training.losses import IGNORED, contrastive_loss, losses, padded, perplexity

__all__ = ["IGNORED", "Adaptation", "Trainer", "adapt", "contrastive_loss", "losses", "padded", "perplexity"]
