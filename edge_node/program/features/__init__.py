"""Agreeing on features: inputs, kernel, metric and landmarks, before any posterior.

Read `screening` (which inputs matter), `candidates` (kernels with landmarks, and how they are
compared), `metric` (how the inputs are stretched), `precisions` (outliers among targets), then
`places` (where landmarks lie), with `landmarks` (k-means, public ones) and `moves` (by gradient).
"""
