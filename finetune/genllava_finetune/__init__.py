"""Everything that makes the GenLLaVA model: data, training and evaluation."""
