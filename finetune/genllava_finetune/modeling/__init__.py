"""The model in training: rows become batches, and batches losses of the language model, the head and the decoders."""
