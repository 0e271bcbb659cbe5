"""Whether what a model said, drew and called is right, and the test file of chats that people wrote."""
