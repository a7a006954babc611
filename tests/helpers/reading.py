"""Limits of bodies for tests that are not about them."""

from service.inflight import BodyLimits, InflightBudget, Reading

MANY = 2**40


def unbounded() -> Reading:
    """Limits that no test meets."""
    return Reading(BodyLimits(MANY, MANY, MANY, MANY, MANY), InflightBudget(MANY).share())
