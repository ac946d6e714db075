"""What is guaranteed of belief propagation: before a run, and where plain messages fail.

Read `walks` (how much a step of a walk on the graph can weigh), `settled` (messages whose
precisions have converged), `certificate` (what is proved before a run), `double_loop` (exact means
of definite systems), `feedback` (exact variances where loops are few), and `automatic` (an answer
by whichever of them).
"""
