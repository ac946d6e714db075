import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cell(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: float
    text: str
    def __init__(self, number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("cells",)
    class CellsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Cell
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Cell, _Mapping]] = ...) -> None: ...
    CELLS_FIELD_NUMBER: _ClassVar[int]
    cells: _containers.MessageMap[str, Cell]
    def __init__(self, cells: _Optional[_Mapping[str, Cell]] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("rows", "level", "posterior")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    level: float
    posterior: str
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., level: _Optional[float] = ..., posterior: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("mean", "sd", "lower", "upper", "label", "probabilities", "median")
    class ProbabilitiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEAN_FIELD_NUMBER: _ClassVar[int]
    SD_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_FIELD_NUMBER: _ClassVar[int]
    mean: float
    sd: float
    lower: float
    upper: float
    label: str
    probabilities: _containers.ScalarMap[str, float]
    median: float
    def __init__(self, mean: _Optional[float] = ..., sd: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., label: _Optional[str] = ..., probabilities: _Optional[_Mapping[str, float]] = ..., median: _Optional[float] = ...) -> None: ...

class PredictReply(_message.Message):
    __slots__ = ("predictions", "warnings", "run")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    run: int
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., run: _Optional[int] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("node", "federation", "phase", "epoch", "run", "step", "waiting_for", "waiting", "discovery_reachable", "cohort", "posterior_time", "certificate_expires", "reason", "bytes_sent", "bytes_received", "steps_completed", "bill", "told", "steps_planned")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FEDERATION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_REACHABLE_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_TIME_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    STEPS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    STEPS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    node: str
    federation: str
    phase: str
    epoch: int
    run: int
    step: str
    waiting_for: _containers.RepeatedScalarFieldContainer[str]
    waiting: _duration_pb2.Duration
    discovery_reachable: bool
    cohort: _containers.RepeatedScalarFieldContainer[str]
    posterior_time: _timestamp_pb2.Timestamp
    certificate_expires: _timestamp_pb2.Timestamp
    reason: str
    bytes_sent: int
    bytes_received: int
    steps_completed: int
    bill: Bill
    told: int
    steps_planned: int
    def __init__(self, node: _Optional[str] = ..., federation: _Optional[str] = ..., phase: _Optional[str] = ..., epoch: _Optional[int] = ..., run: _Optional[int] = ..., step: _Optional[str] = ..., waiting_for: _Optional[_Iterable[str]] = ..., waiting: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., discovery_reachable: _Optional[bool] = ..., cohort: _Optional[_Iterable[str]] = ..., posterior_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate_expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., steps_completed: _Optional[int] = ..., bill: _Optional[_Union[Bill, _Mapping]] = ..., told: _Optional[int] = ..., steps_planned: _Optional[int] = ...) -> None: ...

class StepBill(_message.Message):
    __slots__ = ("step", "numbers")
    STEP_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    step: str
    numbers: int
    def __init__(self, step: _Optional[str] = ..., numbers: _Optional[int] = ...) -> None: ...

class Bill(_message.Message):
    __slots__ = ("steps", "before", "rows", "columns", "most_told", "coalition", "sizes")
    class SizesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    MOST_TOLD_FIELD_NUMBER: _ClassVar[int]
    COALITION_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[StepBill]
    before: int
    rows: int
    columns: int
    most_told: float
    coalition: int
    sizes: _containers.ScalarMap[str, int]
    def __init__(self, steps: _Optional[_Iterable[_Union[StepBill, _Mapping]]] = ..., before: _Optional[int] = ..., rows: _Optional[int] = ..., columns: _Optional[int] = ..., most_told: _Optional[float] = ..., coalition: _Optional[int] = ..., sizes: _Optional[_Mapping[str, int]] = ...) -> None: ...
