"""Arrays and machine: BLAS without the interpreter's lock, JAX in double precision, rows in chunks.

Nothing here knows of a kernel or a model. Read `streaming` first, then `symmetric` and `blas`.
`compiled`, `distances`, `eigenbasis` and `hashing` stand alone.
"""
