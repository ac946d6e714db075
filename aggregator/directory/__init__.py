"""An aggregator's directory.

Read `layout` (what is where), `config` (where it listens and what nodes dial), `draft` (how a
directory comes into being) and `lock` (one process at a time).
"""
