"""The bundled sample: a small repository, a request, and a recording of models at work on it."""
