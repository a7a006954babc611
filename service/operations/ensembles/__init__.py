"""What ensembles are asked beside what flows are: members, their latents and their draws."""
