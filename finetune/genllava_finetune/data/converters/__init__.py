"""Converters of public data sets, a module for each layout."""
