"""Tests of gateway/upstreams."""
