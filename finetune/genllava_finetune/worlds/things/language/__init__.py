"""How people say what the world has, and how the assistant answers."""
