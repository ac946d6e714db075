"""Who takes part in which run, along which edges: pure functions of what is known.

Read `plan` and `presence` (the values), `snapshot` (all that is known at one moment), `planner`
(the decision); `topology` draws trees, `diagnosis` and `refusals` say who can't be in them.
"""
