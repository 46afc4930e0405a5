"""Ways of turning an image and a prompt into text."""
