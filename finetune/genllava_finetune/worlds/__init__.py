"""Worlds: generators of training rows with programmatic truth."""
