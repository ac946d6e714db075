"""Tests of Tangent Mesh.

BLAS has one thread in them, and in the processes that they start: on the small matrices of a test
further threads only wait, each with all of a core. Tests of what several threads do ask for them.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded
