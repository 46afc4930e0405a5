"""For whoever writes a decoder: models that need no files, and the contract that every decoder is held to.

    from decoders.testing import CONTRACT, check_decoder

    @pytest.mark.parametrize("rule", CONTRACT)
    def test_my_decoder(rule):
        check_decoder(MyDecoder, rule=rule)

The names below are public; pytest is not needed to use them. SeeTell's own decoders are held to the same rules.
"""

from __future__ import annotations

from decoders.testing.contract import CONTRACT, ContractBroken, check_decoder
from decoders.testing.device import Counts, StandInDevice, stand_in_device
from decoders.testing.fakes import fake_caption_index, fake_image_text, fake_language_model, fake_models, fake_prompts

__all__ = [
    "CONTRACT",
    "ContractBroken",
    "Counts",
    "StandInDevice",
    "check_decoder",
    "fake_caption_index",
    "fake_image_text",
    "fake_language_model",
    "fake_models",
    "fake_prompts",
    "stand_in_device",
]
