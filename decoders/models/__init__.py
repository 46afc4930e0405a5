"""Language models and image-text models, loaded once and used by every decoder.

`names` finds the files of a model's name, `load` loads them; `language_model` and `image_text` say what a model can do.
"""
