"""Whole conversations, turn by turn."""
