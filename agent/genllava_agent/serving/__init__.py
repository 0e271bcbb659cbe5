"""The agent and its model over HTTP, for clients of OpenAI's interface: `genllava serve`, or `app.create_app`."""
