"""Scenes, and the pictures that show them."""
