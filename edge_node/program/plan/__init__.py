"""The plan of a run: what its rows may tell, and on what that is spent.

Read `allowances` (what may be told, once the rows are counted), `schedule` (a run's sums),
`planning` (how they are planned), `affordable` (how large the posterior may be), and `metered` (a
network that counts what is told, and refuses more).
"""
