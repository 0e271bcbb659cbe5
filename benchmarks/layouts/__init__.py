"""Small random checkpoints in the layouts of public ones, made by the libraries' own classes."""
