"""Making training data with a language model: the papers' pipelines, over captions, boxes and pairs of pictures."""
