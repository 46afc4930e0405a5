"""Language models and image-text models, loaded once and used by every decoder."""
