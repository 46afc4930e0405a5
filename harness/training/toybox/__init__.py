"""The models of the Toybox world, trained by one recipe: language models, CLIP, and the gates they must pass."""
