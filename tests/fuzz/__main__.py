"""The long mode: `python -m tests.fuzz --inputs 1000000`. The same seed gives the same inputs."""

import argparse
import json
import logging
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.federation import fuzz_federation
from tests.fuzz.files import file_targets
from tests.fuzz.ledgers import ledger_targets
from tests.fuzz.loop import Finding, fuzz, memory, shared_out
from tests.fuzz.messages import message_targets

_GROWTH = 50.0  # megabytes that one target may add


def main() -> int:
    """Fuzz every decoder, then every call; 1 if one of them does what it must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for all decoders together")
    parser.add_argument("--calls", type=int, default=20_000, help="of all services together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one decoder's name")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    findings = 0
    with tempfile.TemporaryDirectory() as folder:
        kinds = (message_targets, file_targets, ledger_targets)
        targets = [target for kind in kinds for target in kind(Path(folder))]
        inputs = shared_out(targets, options.inputs)
        before = memory()
        for target in targets:
            if options.only not in ("", target.name):
                continue
            try:
                outcome = fuzz(target, inputs[target.name], options.seed)
            except Finding as finding:
                findings += 1
                print(f"FOUND {finding}", flush=True)
                continue
            findings += outcome.growth > _GROWTH
            print(json.dumps(asdict(outcome)), flush=True)
        print(json.dumps({"megabytes": [before, memory()]}), flush=True)
        if options.calls and not options.only:
            outcomes = fuzz_federation(Path(folder), options.calls, options.seed)
            print(json.dumps(outcomes), flush=True)
    return min(findings, 1)


if __name__ == "__main__":
    sys.exit(main())
