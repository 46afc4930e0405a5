"""Other people's outputs as runs: their files read (`read`, `formats`), joined with images, kept in the store (`keep`)."""
