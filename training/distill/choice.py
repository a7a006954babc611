"""The losses of a student whose recipe names none: those that the two flows allow."""

from models.flow import Flow
from training.config import LossRecipe, Recipe
from training.distill.layer_matching import LayersDifferError
from training.distill.objective import BasesDifferError, DistillationLoss, without_first
from training.errors import TrainingError
from training.runs import Run, new_student

BY_LAYERS = [LossRecipe(kind="teacher_path"), LossRecipe(kind="student_path", start=0.5)]
BY_LATENTS = [LossRecipe(kind="pairs"), LossRecipe(kind="latents"), LossRecipe(kind="kl")]
BY_DENSITIES = [LossRecipe(kind="kl")]


def with_losses(recipe: Recipe, teacher: Run) -> tuple[Recipe, str | None]:
    """Fill in the losses that a student's recipe leaves out.

    Args:
        recipe: of the student.
        teacher: the run that it learns from.

    Returns:
        The recipe, and what was chosen and why; None where the recipe names losses.

    Raises:
        TrainingError: a temperature that is not of the student's base, or the student cannot learn
            from this teacher by the losses of the recipe, or by any.
    """
    distill = recipe.distill
    assert distill is not None
    spec, student = new_student(recipe, teacher)
    if distill.temperature != 1 and student.base.name != "normal":
        raise TrainingError(f"temperature is of a normal base, not of a {student.base.name} one")
    fixed = len(spec.preprocessing)
    flows = without_first(student, fixed), without_first(teacher.new_flow(), fixed)
    if distill.losses is not None:
        DistillationLoss(*flows, distill.losses)
        return recipe, None
    losses, reason = choose_losses(*flows, distill.temperature)
    distill = distill.model_copy(update={"losses": losses})
    distill.model_fields_set.discard("losses")  # they are defaults all the same
    kinds = ", ".join(
        loss.kind + (f" (from {loss.start:g} of the training on)" if loss.start else "")
        for loss in losses
    )
    return recipe.model_copy(update={"distill": distill}), f"learns by {kinds}: {reason}"


def choose_losses(
    student: Flow, teacher: Flow, temperature: float = 1.0
) -> tuple[list[LossRecipe], str]:
    """The losses that come nearest of those that the flows allow, and why.

    Args:
        student, teacher: without preprocessing.
        temperature: factor of the latents in training; losses that are expectations over the base
            are left out where it is not 1.

    Raises:
        TrainingError: the flows allow none.
    """
    reason = "its layers correspond to its teacher's"
    for losses in (BY_LAYERS, BY_LATENTS):
        allowed = [loss for loss in losses if temperature == 1 or loss.kind != "kl"]
        try:
            DistillationLoss(student, teacher, allowed)
        except LayersDifferError as error:
            reason = f"its layers do not correspond to its teacher's: expected {error.expected}"
        except BasesDifferError as error:
            reason = str(error)
        else:
            return allowed, reason
    if temperature != 1:
        raise TrainingError(f"temperature is not for kl, which alone is left: {reason}")
    DistillationLoss(student, teacher, BY_DENSITIES)
    return BY_DENSITIES, reason
