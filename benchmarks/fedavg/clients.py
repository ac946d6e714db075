"""What a site answers to Flower's server: a model trained on its rows, and its mean residual."""

import time
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmarks.fedavg.job import Job

__all__ = ["client_app", "method"]

_METHODS: Mapping[str, str] = {"mlp": "benchmarks.fedavg.mlp", "xgboost": "benchmarks.fedavg.trees"}


def client_app() -> Any:
    """Of every site."""
    app = ClientApp()
    app.train()(_train)
    app.evaluate()(_evaluate)
    return app


def method(job: Job) -> Any:
    """The module that trains: ``initial``, ``trained``, ``outputs`` and ``own_outputs``."""
    return import_module(_METHODS[job.training.method])


def _train(message: Any, context: Any) -> Any:
    began = time.process_time()
    job, site = _job(message), _site(context)
    after = int(message.content["config"]["server-round"]) - 1
    model = method(job).trained(job, _model(message), site, after)
    numbers = {
        "num-examples": len(job.targets[site]),
        "cpu-seconds": time.process_time() - began,
    }
    content = {"arrays": ArrayRecord(list(model)), "metrics": MetricRecord(numbers)}
    return Message(RecordDict(content), reply_to=message)


def _evaluate(message: Any, context: Any) -> Any:
    job, site = _job(message), _site(context)
    y = job.targets[site]
    squared = 0.0  # classes have no residuals
    if not job.training.classes:
        found = method(job).outputs(job, _model(message), job.inputs[site])
        squared = float(np.mean(np.square(found - y)))
    numbers = {"num-examples": len(y), "squared": squared}
    return Message(RecordDict({"metrics": MetricRecord(numbers)}), reply_to=message)


def _model(message: Any) -> list[Any]:
    found: list[Any] = message.content["arrays"].to_numpy_ndarrays()
    return found


def _site(context: Context) -> int:
    return int(context.node_config["partition-id"])


def _job(message: Any) -> Job:
    return _read(message.content["config"]["job"])


@lru_cache(maxsize=1)
def _read(path: str) -> Job:
    """Once for each process of Flower's."""
    return Job.read(Path(path))
