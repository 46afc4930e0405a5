"""What a process that trains imports; a server of processes imports it once (see test_training_resume.py)."""

from decoders.models import torchvision_schemas

torchvision_schemas.ensure()

from matplotlib.backends import backend_agg  # noqa: E402, F401
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402, F401
from transformers.models.gpt2 import modeling_gpt2, tokenization_gpt2  # noqa: E402, F401

import harness.cli.train  # noqa: E402
import harness.training.lm  # noqa: E402, F401
