"""The evaluation of the scanner: what it finds of generated fake credentials, and what it touches of clean outputs."""
