"""The demo: embedded upstreams with real effects in a temporary folder, and a scripted client in front of the
gateway.
"""
