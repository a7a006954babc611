"""How near a student came to its teacher."""

from training.html_report.blocks import Block, Facts
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.html_report.words import figure, number


def write_fidelity(reported: Reported) -> list[Block]:
    """Divergences, the teacher's scores, and how often a classifier tells their draws apart."""
    fidelity = reported.fidelity
    figures = {
        "KL(student‖teacher)": (fidelity.kl_student_teacher, "nats per dimension"),
        "KL(teacher‖student)": (fidelity.kl_teacher_student, "nats per dimension"),
        "Teacher's log_prob of the student's draws": (fidelity.teacher_of_student, "nats per row"),
        "Teacher's log_prob of its own draws": (fidelity.teacher_of_teacher, "nats per row"),
        "Teacher's log_prob of held-out rows": (fidelity.teacher_held_out, "nats per row"),
    }
    pairs = [(name, figure(of.mean, of.se, unit)) for name, (of, unit) in figures.items()]
    pairs += [
        ("A classifier tells their draws apart", f"{fidelity.two_sample:.1%} of the time"),
        ("Two samples of the teacher", f"{fidelity.two_sample_of_teacher:.1%} of the time"),
        ("Draws of each", number(fidelity.rows)),
        ("Of these without a finite score", number(fidelity.overflowing)),
    ]
    return [Facts("Student beside teacher, ± standard errors; 50 % is by chance", pairs)]


FIDELITY = Section("Fidelity", write_fidelity)
