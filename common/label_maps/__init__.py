"""Readable files that map the labels of one data set to those of another."""
