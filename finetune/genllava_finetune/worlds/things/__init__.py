"""The domain of things: nameable things in several drawing styles, with a complete description of every picture."""
