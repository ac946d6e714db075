"""The demonstration: a whole federation on one machine, as real processes, with a report.

Read `main`, then `data` (which rows, and how they are read), `federation` (the processes, which
the system tests and the benchmarks start, too), `experiment` (the federation against its
references), `refusals` and `ending` (when it stops), `report` and `figures` (what it leaves in a
`folder`). `graph` is another demonstration, without processes: messages on a small kernel graph.
"""
