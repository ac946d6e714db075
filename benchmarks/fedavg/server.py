"""Flower's simulation of a job: its strategies aggregate, its engine runs the sites.

    python -m benchmarks.fedavg.server JOB.npz FOLDER

Each checkpoint is written into the folder as soon as it is reached, and its path printed. Two
things are changed in Flower's favour: replies are asked for every 20 milliseconds (Flower itself
waits three seconds, whatever a round takes), and residuals are asked for at checkpoints only, and
not counted. A site that fails ends the run: Flower would average the others.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.serde import recorddict_to_proto
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg, FedXgbBagging
from flwr.simulation import run_simulation

from benchmarks.fedavg.clients import client_app, method
from benchmarks.fedavg.job import Checkpoint, Job

__all__ = ["simulate"]

_PAUSE = 0.02  # seconds


def simulate(path: Path, folder: Path) -> None:
    """Run the job, and write its checkpoints."""
    job = Job.read(path)
    strategy = _metered(FedXgbBagging if job.training.method == "xgboost" else FedAvg)(job, folder)

    def main(grid: Any, _: Any) -> None:
        grid.pull_interval = _PAUSE
        strategy.run(grid, ConfigRecord({"job": str(path)}))

    app = ServerApp()
    app.main()(main)
    processors = min(len(os.sched_getaffinity(0)), job.sites)
    run_simulation(
        app,
        client_app(),
        job.sites,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0},
            "init_args": {
                "num_cpus": processors,
                "include_dashboard": False,
                "log_to_driver": False,
            },
        },
    )


def _metered(base: Any) -> Any:
    """One of Flower's strategies that also counts, and writes checkpoints."""

    class Metered(base):  # type: ignore[misc]
        def __init__(self, job: Job, folder: Path) -> None:
            super().__init__(min_available_nodes=job.sites, min_train_nodes=job.sites)
            self._job, self._folder = job, folder
            self._received = self._sent = 0
            self._cpu = self._residual = 0.0
            self._began = time.monotonic()

        def run(self, grid: Any, config: Any) -> None:
            first = ArrayRecord(list(method(self._job).initial(self._job)))
            self._began = time.monotonic()
            self.start(
                grid,
                first,
                num_rounds=self._job.training.checkpoints[-1],
                train_config=config,
                evaluate_config=config,
                evaluate_fn=self._write,
            )

        def configure_train(self, *args: Any) -> Any:
            messages = list(super().configure_train(*args))
            self._received += _bytes(messages[0].content["arrays"])
            return messages

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            replies = _complete(replies, self._job.sites)
            self._sent += max(_bytes(each.content["arrays"]) for each in replies)
            self._cpu += sum(each.content["metrics"]["cpu-seconds"] for each in replies)
            return super().aggregate_train(server_round, replies)

        def configure_evaluate(self, server_round: int, *args: Any) -> Any:
            if server_round not in self._job.training.checkpoints:
                return []
            return super().configure_evaluate(server_round, *args)

        def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
            if server_round not in self._job.training.checkpoints:
                return None
            metrics = super().aggregate_evaluate(server_round, _complete(replies, self._job.sites))
            self._residual = float(metrics["squared"])
            return metrics

        def _write(self, server_round: int, arrays: Any) -> Any:
            if server_round not in self._job.training.checkpoints:
                return None
            seconds = time.monotonic() - self._began
            job, model = self._job, arrays.to_numpy_ndarrays()
            own, own_residual = method(job).own_outputs(job, model, server_round)
            path = self._folder / f"{server_round}.npz"
            Checkpoint(
                server_round,
                method(job).outputs(job, model, job.test),
                own,
                self._residual,
                own_residual,
                self._received,
                self._sent,
                self._cpu,
                seconds,
            ).write(path)
            print(path, flush=True)
            return MetricRecord()

    return Metered


def _bytes(record: Any) -> int:
    """As the message holds it that Flower sends."""
    return int(recorddict_to_proto(RecordDict({"arrays": record})).ByteSize())


def _complete(replies: Any, sites: int) -> list[Any]:
    """The replies, if each site gave one. Raises RuntimeError."""
    found = list(replies)
    failed = [each.error.reason for each in found if each.has_error()]
    if failed or len(found) < sites:
        raise RuntimeError(f"{sites - len(found) + len(failed)} sites failed: {failed[:1]}")
    return found


if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.WARNING)
    simulate(Path(sys.argv[1]), Path(sys.argv[2]))
