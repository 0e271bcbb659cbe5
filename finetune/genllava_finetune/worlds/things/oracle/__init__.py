"""The oracle: reading a scene from the pixels of a picture."""
