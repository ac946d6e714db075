"""A fleet of sensors, each a variable: what its messages come to, against sparse linear algebra.

Read `drawn` (a field, devices that measure it, the exact posterior), then what is measured: `talk`
(errors against messages sent, and intervals), `changes` (devices that leave and come), `priors`
(which factor graphs' messages converge). `figure` draws it for docs/propagation.md.
"""
