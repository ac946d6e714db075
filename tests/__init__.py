"""Tests of Tangent Mesh."""
