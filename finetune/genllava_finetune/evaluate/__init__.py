"""Measuring a model on the shapes domain: frozen suites, checks, baselines, report."""
