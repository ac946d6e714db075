"""Predictions and status over a local endpoint."""
