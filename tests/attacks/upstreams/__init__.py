"""Small upstreams with real effects: one program, `serve.py`, that plays the kind it is told to."""
