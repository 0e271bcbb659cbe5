"""The nodes of the graph: each reads the state and returns what it changes."""
