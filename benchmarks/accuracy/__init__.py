"""How well a federation predicts, against each site alone and against peers on the pooled rows.

`cases` says which rows are whose, `ours` and `peers` answer for the test rows, `measuring` scores
the answers and keeps the results, `tables` compares them. Every way is measured in a process of its
own, with one thread.
"""

from benchmarks.accuracy.cases import SETS, Setting
from benchmarks.accuracy.measuring import ALL_RUNS, measure_accuracy, read_results
from benchmarks.accuracy.ours import learn, learn_alone
from benchmarks.accuracy.tables import summarise, tables

__all__ = [
    "ALL_RUNS",
    "SETS",
    "Setting",
    "learn",
    "learn_alone",
    "measure_accuracy",
    "read_results",
    "summarise",
    "tables",
]
