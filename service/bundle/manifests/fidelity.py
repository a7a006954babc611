"""The part of a manifest that says how near a student came to its teacher."""

from pydantic import Field

from service.bundle.manifests.part import ManifestPart


class Figure(ManifestPart):
    """A mean and its standard error."""

    mean: float
    se: float


class Fidelity(ManifestPart):
    """How near a student is to its teacher.

    Args:
        rows: drawn of each.
        overflowing: how many of the student's draws and of two such samples of the teacher are no
            numbers, or have no finite score under the other; they count in no other figure.
        kl_student_teacher, kl_teacher_student: divergences in nats per dimension.
        teacher_of_student, teacher_of_teacher: the teacher's log_prob of the student's draws and of
            its own, in nats per row.
        teacher_held_out: the teacher's log_prob of the rows of the student's `held_out`.
        two_sample, two_sample_of_teacher: how often a classifier tells the student's draws from
            the teacher's, and two halves of the teacher's from one another; 0.5 is by chance.
    """

    rows: int
    overflowing: int = 0
    kl_student_teacher: Figure
    kl_teacher_student: Figure
    teacher_of_student: Figure
    teacher_of_teacher: Figure
    teacher_held_out: Figure
    two_sample: float
    two_sample_of_teacher: float


class Distilled(ManifestPart):
    """What a student was taught by, and how near it came."""

    teacher: str
    version: int | None = Field(
        description="of the teacher, in the same store when the student was exported; null where "
        "it had none of these weights then"
    )
    sha256: str = Field(
        description="of the teacher's weights: the `weights_sha256` of its bundle, whenever that "
        "was exported"
    )
    fidelity: Fidelity
