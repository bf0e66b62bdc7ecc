"""The pure core: values in, values out. No clock, os, random, anyio, mcp or database here."""
