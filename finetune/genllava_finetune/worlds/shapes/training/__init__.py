"""Training: every part is a resumable step, and the last one tunes them together."""
