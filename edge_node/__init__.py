"""The edge node of Tangent Mesh: federated Gaussian processes with infinite-width kernels, exactly.

Raw rows stay on the node; only sums of Gaussian messages leave it. docs/design.md is the map.

The rooms, in the order in which a row travels through them:

    config       what is configured: the federation's spec and the site's node file
    data         the site's file, checked and turned into arrays
    federation   who is summed with whom, and how far each node is: plans and reports
    program      what every node runs: mathematics, with sums over the federation in between
    inference    that mathematics: kernels, features, messages, posteriors
    network      how a sum is taken: in one process, or along a tree of nodes
    security     who a node is, what hides its contribution, and which sums it refuses
    model        what a node holds after a run, and what can be asked of it
    serving      predictions and status for programs on the same machine
    node         the daemon that puts all of this together, its setup and its doctor
    demo         a whole federation on this machine, as processes
    estimators   the program in scikit-learn's form, in one process
    cli          the commands, on top of everything
    console      what the commands share with the aggregator's: options, output, logs

Four leaves belong to no room. `errors` is the tree of exceptions, with their exit codes. `arrays`
names the arrays that the rooms hand each other, and rounds so that sums don't depend on how rows
are split. `packing` makes one vector of named arrays, and back. `step` names the program's steps,
for the program and for whoever guards them.
"""

__version__ = "0.1.0"
