"""The composition root: builds the rooms, joins them, and runs one gateway. The one package that may import
everything.
"""
