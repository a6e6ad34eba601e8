"""Who asks over HTTP: the API. `app.py` lists its calls, `serve.py` runs it."""
