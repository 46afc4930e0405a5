"""Language models and image-text models, loaded once and used by every decoder.

`decoders.models.load` turns names into models; `language_model` and `image_text` say what a model can do.
"""
