"""Training: recipes, the model with its losses, and the run."""
