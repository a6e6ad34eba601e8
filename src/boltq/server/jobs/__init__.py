"""Jobs over HTTP: submit, read, act, many at once, dead letters."""
