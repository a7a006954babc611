# Benchmarks of the server: its own, and beside other servers, each in a virtual environment in
# SERVING_PEERS. The versions are those of ../shared/bench/serving/README.md, and so are the reasons.

SERVING_PEERS ?= runs/bench-serving
PEERS_FOLDER = $(abspath $(SERVING_PEERS))
PEERS = raw fastapi litserve mlserver pytriton

raw.needs = numpy psutil
fastapi.needs = fastapi==0.165.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0
litserve.needs = litserve==0.2.19 uvloop==0.23.0 httptools==0.9.0
mlserver.needs = mlserver==1.7.1 uvloop==0.21.0 httptools==0.9.0

.PHONY: bench-serving bench-load bench-pairs bench-workers bench-peers peers soak

bench-serving: bench-load bench-peers ## Load the server, then compare it with others (an hour and more)

bench-load: $(PEERS_FOLDER)/models ## Load the server at fixed rates, below and beyond capacity (11 minutes)
	$(BIN)/python -m tests.benchmarks.serving.load --models "$(PEERS_FOLDER)"

SOAK_MINUTES ?= 60

soak: $(PEERS_FOLDER)/models ## Load the server at 70 % for SOAK_MINUTES (60), with its model loaded anew each minute
	$(BIN)/python -m tests.benchmarks.serving.soak --models "$(PEERS_FOLDER)" --minutes "$(SOAK_MINUTES)"

bench-pairs: $(PEERS_FOLDER)/models ## Compare the server with that of the worktree BASE (4 minutes)
	$(BIN)/python -m tests.benchmarks.serving.pairs --models "$(PEERS_FOLDER)" --base "$(BASE)"

bench-workers: $(PEERS_FOLDER)/models ## Compare one worker with two (3 minutes)
	$(BIN)/python -m tests.benchmarks.serving.workers --models "$(PEERS_FOLDER)"

bench-peers: peers $(PEERS_FOLDER)/models ## Compare the server with others (an hour; needs wrk)
	SERVING_PEERS="$(PEERS_FOLDER)" \
	    $(BIN)/python -m tests.benchmarks.serving.peers --models "$(PEERS_FOLDER)"

peers: $(PEERS:%=$(PEERS_FOLDER)/%/installed) ## Install the servers to compare with into SERVING_PEERS

$(PEERS_FOLDER)/models: | $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.serving.models "$(PEERS_FOLDER)"
	touch "$@"

$(PEERS_FOLDER)/%/installed:
	python3.11 -m venv "$(@D)"
	"$(@D)/bin/pip" install --quiet onnxruntime==1.31.1 $($*.needs)
	touch "$@"

# tritonserver's Python stub runs with the standard library of Debian's Python and no newer one:
# apt-get install python3.11
$(PEERS_FOLDER)/pytriton/installed: $(PEERS_FOLDER)/raw/installed
	/usr/bin/python3.11 -m venv --without-pip "$(@D)"
	"$(PEERS_FOLDER)/raw/bin/pip" --python "$(@D)/bin/python" install --quiet \
	    onnxruntime==1.31.1 nvidia-pytriton==0.7.0
	touch "$@"
