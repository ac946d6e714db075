"""What the phases teach: plain sentences, one idea a line. Outcomes are not told here but shown."""

__all__ = ["DOUBLE_LOOP", "INTRODUCTION", "LOOPS", "LOST", "PAIRS", "TREE"]

INTRODUCTION = (
    "Each row holds a belief about this value: a mean and a precision.",
    "The precision is one over the variance: the surer, the larger.",
    "A message is a mean and a precision, too: what the others know about the row that hears it.",
    "A row's belief is its own target and all messages to it.",
    "Precisions add up, and means are averaged by precision.",
)

TREE = (
    "Each row is joined to the most similar row before it.",
    "Between two rows there is one path, so nothing is heard twice.",
    "One sweep up the tree and one down, and every mean and every variance is exact.",
    "That is why a federation adds up its sums along a tree.",
)

LOOPS = (
    "Each row is joined to the two most similar rows before it.",
    "All rows send at once, again and again.",
    "If the messages arrive, the means are exact.",
    "The variances aren't: what a row hears by two paths is taken for independent, and is not.",
)

LOST = (
    "The same graph, and one message in five is lost, at random.",
    "A message replaces the one before; nothing is added up over time.",
    "So a lost message is only late: the next one says all of it.",
)

PAIRS = (
    "Every row is joined to every other: this is the whole process, no longer an approximation.",
    "The certificate comes before the first message: it adds up all walks on the graph.",
    "If that sum is finite, the messages must arrive. If not, nobody can promise it.",
)

DOUBLE_LOOP = (
    "The same graph. Each row's precision is raised until the certificate holds.",
    "Now messages arrive, at a mean that is a little off; an outer loop corrects for that.",
    "The means become exact on every such graph. The variances don't.",
)
