"""The web page: the agent for people, in a browser (`genllava web`)."""
