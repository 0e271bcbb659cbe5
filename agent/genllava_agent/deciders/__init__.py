"""Who decides what is done next: the model by task tokens or tool calls, or another chat model."""
