"""Ablations: the same small model, trained in ways that differ in one thing. `python -m benchmarks ablations`.

See `docs/ablations.md` for what comes of them.
"""
