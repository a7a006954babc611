"""Codecs: bodies to arrays and answers to bodies, one module for each media type."""
