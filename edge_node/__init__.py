"""Tangent Mesh edge node: exact federated Gaussian-process inference under infinite-width kernels.

Raw rows stay on the node; only sums of Gaussian messages leave it. docs/design.md is the map.
"""

__version__ = "0.1.0"
