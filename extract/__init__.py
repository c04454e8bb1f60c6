"""Extraction: teachers embed a data set once, block by block, into a store."""
