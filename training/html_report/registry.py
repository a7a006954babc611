"""The sections of the page, in their order."""

from training.html_report.section import Section
from training.html_report.sections.calibration import CALIBRATION
from training.html_report.sections.data import DATA
from training.html_report.sections.export import EXPORT
from training.html_report.sections.fidelity import FIDELITY
from training.html_report.sections.held_out import HELD_OUT
from training.html_report.sections.model import MODEL
from training.html_report.sections.pictures import PICTURES
from training.html_report.sections.reproduce import REPRODUCE
from training.html_report.sections.signature import SIGNATURE
from training.html_report.sections.summary import SUMMARY
from training.html_report.sections.training import TRAINING

SECTIONS: tuple[Section, ...] = (
    SUMMARY,
    HELD_OUT,
    DATA,
    MODEL,
    TRAINING,
    PICTURES,
    CALIBRATION,
    FIDELITY,
    EXPORT,
    SIGNATURE,
    REPRODUCE,
)
