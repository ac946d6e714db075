"""An aggregator's directory.

Read `layout` (what is where, and the configuration), `draft` (how it comes into being) and `lock`
(one process at a time).
"""
