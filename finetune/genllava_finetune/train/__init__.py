"""Training: the run of a recipe, stage by stage, on the Trainer of transformers."""
