# Exports of every recipe, beside those of the worktree BASE where it is set; RECIPES picks some.

BASE ?=
RECIPES ?=

.PHONY: bench-export

bench-export: $(INSTALLED) ## Measure exports of all recipes (two hours; goes on where it was)
	$(BIN)/python -m tests.benchmarks.exports $(RECIPES) $(if $(BASE),--base "$(BASE)") \
	    --data "$(ZOO_DATA)"
