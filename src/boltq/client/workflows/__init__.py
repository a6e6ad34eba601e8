"""Workflows of a BoltQ elsewhere: their calls, what these answer, and waiting for their end."""
