"""The command line of GenLLaVA (`genllava_agent.cli`). Importing this package loads nothing heavy."""
