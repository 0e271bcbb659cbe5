"""Measurements of speed and of work saved; `python -m benchmarks` runs them all."""
