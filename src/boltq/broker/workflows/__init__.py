"""Workflows in the store: their rows, what is asked of them and done to them, and whether they are consistent."""
