"""The language of the shapes domain: what people say about pictures, in many forms."""
