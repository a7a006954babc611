# The largest memory of servers of one bundle each, and their rates beside the server of the worktree
# BASE: of the bundles of MEMORY_STORES, and of short runs of the recipes whose rows take most.

MEMORY_FOLDER ?= runs/bench-memory
MEMORY_RECIPES ?= mnist-glow mnist-mintnet mnist-wavenet-cuda fsdd-wavenet fsdd-student
MEMORY_STORES ?= $(STORE)

.PHONY: bench-memory

bench-memory: $(MEMORY_RECIPES:%=$(MEMORY_FOLDER)/store/%) ## Measure the memory of servers (two hours)
	$(BIN)/python -m tests.benchmarks.memory $(if $(BASE),--base "$(BASE)") \
	    $(patsubst %,--store "%",$(MEMORY_STORES)) --store "$(MEMORY_FOLDER)/store"

# few rows are scored; those of a flow of a few steps need not come back
$(MEMORY_FOLDER)/store/%: | $(ZOO_DATA)
	$(BIN)/python -m tests.benchmarks.exports.short_run $* "$(MEMORY_FOLDER)/runs" "$(ZOO_DATA)"
	$(BIN)/python -m tests.benchmarks.exports.keep "$(MEMORY_FOLDER)/runs/$*"
	$(BIN)/bijecta export "$(MEMORY_FOLDER)/runs/$*" --store "$(MEMORY_FOLDER)/store" --accept-residual
