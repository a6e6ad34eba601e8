"""The system over HTTP: its state and checks, workers, API keys, the audit log."""
