"""Recipes that ship, and what `tiny-real` and its like are made of."""
