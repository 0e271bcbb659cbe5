"""What makes the model of the things world: its parts before training, and the losses that only it has."""
