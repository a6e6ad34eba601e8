"""Workflows over HTTP: submit, read, act."""
