"""The former name of `bijecta_client`, kept for one version."""

import warnings

try:
    from bijecta_client import *  # noqa: F403
except ModuleNotFoundError as missing:
    hint = "the client is a distribution of its own, not installed: pip install ./service/client"
    raise ModuleNotFoundError(hint, name=missing.name) from missing

warnings.warn(
    "service.client is now bijecta_client, and goes with the next version",
    DeprecationWarning,
    stacklevel=2,
)
