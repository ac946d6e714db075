"""Tests of sources and encoding."""
