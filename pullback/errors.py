"""The exceptions that the library raises."""

from ._src.base.errors import (
    ConcretizationTypeError,
    ConvergenceError,
    DeletedArrayError,
    DTypeError,
    KeyReuseError,
    NonConcreteBooleanIndexError,
    NotDifferentiableError,
    PullbackError,
    ShapeError,
    StructureError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
    VerificationError,
)

__all__ = [
    "ConcretizationTypeError",
    "ConvergenceError",
    "DTypeError",
    "DeletedArrayError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "NotDifferentiableError",
    "PullbackError",
    "ShapeError",
    "StructureError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
    "VerificationError",
]
