"""Measuring a model on the frozen suites of a world: running, intervals, report."""
