# Models of the papers' data sets, in the folders that `tests.benchmarks.papers.data` makes: mnist for
# mnist-glow, and so on. With published files in its place, ZOO_DATA is a folder of such folders.
# ZOO=fsdd-student takes two hours; on a GPU, ZOO="bsds300-cuda mnist-wavenet-cuda" takes minutes.

ZOO ?= bsds300 bsds300-iterative mnist-nice mnist-glow mnist-mintnet mnist-gaussianization \
    fashion-mnist-nsf cifar10-glow bsds300-student mnist-maf mnist-student
ZOO_DATA ?= runs/zoo-data
ZOO_SETS = bsds300 mnist fashion-mnist cifar10 fsdd

bsds300-student.teacher = bsds300
mnist-student.teacher = mnist-maf
fsdd-student.teacher = fsdd-wavenet
ZOO_MODELS = $(sort $(ZOO) $(foreach model,$(ZOO),$($(model).teacher)))

.PHONY: zoo-models

zoo-models: $(ZOO:%=$(STORE)/%) ## Train models of the papers' data sets into STORE (hours; data in ZOO_DATA)

$(ZOO_MODELS:%=$(STORE)/%): $(STORE)/%: | $(ZOO_DATA)
	$(BIN)/bijecta $(if $($*.teacher),distill runs/$($*.teacher),train) $* \
	    --data "$(ZOO_DATA)/$(strip $(foreach set,$(ZOO_SETS),$(if $(filter $(set)-%,$*-),$(set))))"
	$(BIN)/bijecta export runs/$* --store "$(STORE)"

$(STORE)/bsds300-student: $(STORE)/bsds300
$(STORE)/mnist-student: $(STORE)/mnist-maf
$(STORE)/fsdd-student: $(STORE)/fsdd-wavenet

$(ZOO_DATA): | $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.papers.data "$@"
