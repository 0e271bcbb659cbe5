"""The agent as other programs know it: a LangChain chat model, a tool, messages, LangGraph's server."""
