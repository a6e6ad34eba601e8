"""Listens to what the work announces (see `domain/happenings.py`)."""
