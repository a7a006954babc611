"""What a user of the training commands can get wrong; the command line prints these as they are."""


class TrainingError(Exception):
    """Something about the input, not the program: its text is the whole message."""


class RecipeError(TrainingError):
    """A recipe that cannot be read or makes no sense."""


class DataError(TrainingError):
    """Data that is not there, cannot be read, or that no density fits."""


class RunError(TrainingError):
    """A run folder that is missing, unfinished, damaged, or of another recipe."""


class NonFiniteError(TrainingError):
    """Training met a loss that is not a number; says in which batch and for which rows."""


class ExportError(TrainingError):
    """An exported graph that does not agree with its flow."""
