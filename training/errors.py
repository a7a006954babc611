"""Errors that a user of the training commands can cause; the command line prints their text."""


class TrainingError(Exception):
    """An error of the input, not of the program; its text is the whole message."""


class RecipeError(TrainingError):
    """A recipe that cannot be read, or has unknown keys or wrong values."""


class DataError(TrainingError):
    """Data that is missing, cannot be read, or has no bounded density."""


class RunError(TrainingError):
    """A run folder that is missing, unfinished, damaged, or of another recipe."""


class NonFiniteError(TrainingError):
    """A loss that is not finite; its text names the batch and the rows."""


class ExportError(TrainingError):
    """An exported graph whose results differ from its flow's by more than the tolerances."""


class ReportError(TrainingError):
    """A report that cannot be made or written; its text says why."""


class PlotError(TrainingError):
    """A plot that a model has not, or that cannot be made or written; its text says why."""
