"""Names that stored runs have for good: options and weights load by them."""

import pytest
import torch
from torch import Tensor

from models import zoo
from models.families import with_current_names
from tests.laws.zoo_table import SMALL

POSITIONAL = {
    "glow": ((1, 4, 4), SMALL),
    "mintnet": ((1, 4, 4), SMALL),
    "wavenet": ((5,), {"transforms": 1, "hidden": (6, 6)}),
}


def test_families_of_positional_biases_are_all_here() -> None:
    renamed = {name for name, family in zoo.FAMILIES.items() if family.former_names}
    assert renamed == {"nice", "realnvp", "glow", "nsf", "mintnet", "wavenet", "parallel-wavenet"}


@pytest.mark.parametrize("name", POSITIONAL)
def test_a_stored_flow_with_places_is_the_same_flow(name: str) -> None:
    shape, options = POSITIONAL[name]
    flow = zoo.build(name, shape, options=options | {"positional_bias": True})
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    stored: dict[str, Tensor] = {
        key.replace("positional_bias", "places"): value for key, value in flow.state_dict().items()
    }
    assert any(key.endswith(".places") for key in stored)
    again = zoo.build(name, shape, options=options | {"places": True})
    again.load_state_dict(stored)
    assert all(torch.equal(value, again.state_dict()[k]) for k, value in flow.state_dict().items())


@pytest.mark.parametrize("name", POSITIONAL)
def test_an_option_by_both_of_its_names_is_refused(name: str) -> None:
    options = {"places": True, "positional_bias": True}
    with pytest.raises(ValueError, match="'places' is the former name of 'positional_bias'"):
        zoo.build(name, POSITIONAL[name][0], options=options)


def test_options_without_former_names_are_left_alone() -> None:
    options = {"transforms": 3}
    assert with_current_names(options, {"places": "positional_bias"}) == options
