"""The drawings of things: where they come from and how they are made ready."""
