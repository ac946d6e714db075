"""The plan of a run: what its rows may tell, and on what that is spent.

Read `allowances` (what may be told, once the rows are counted), `schedule` (the sums that are
planned from it), `metered` (a network that counts what is told, and refuses more).
"""
