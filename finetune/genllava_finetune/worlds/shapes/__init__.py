"""The shapes domain: a small visual world whose every picture has a known, complete description."""
