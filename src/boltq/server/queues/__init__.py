"""Queues over HTTP, and the overview that puts them worst first."""
