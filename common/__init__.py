"""What extraction and training share: the store, audio decoding, registries, errors."""
