"""Questions about a picture, with their answers."""
