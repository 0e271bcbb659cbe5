"""Recipes: their format, the parts that they name, what a run would take, and those that ship."""
