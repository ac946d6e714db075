"""The thin discovery service: it says who takes part and along which tree. No data passes here.

Read `server` first: it puts everything together. Then the rooms, in this order:

    directory    an aggregator's files and configuration
    registry     what must not be forgotten, in SQLite
    members      what is known of each node now
    ca           the authority that issues nodes' certificates
    planning     who takes part in which run: pure functions
    services     what nodes call, and the planning beside it

`setup` creates a federation and its tokens; `status` and `denylist` are what the operator's
commands in `cli` show and change. The aggregator never imports JAX.
"""
