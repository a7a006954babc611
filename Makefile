# The two commands are `make serve` and `make test`; `make help` lists all.

# Where it is set, every run of the tests rewrites all asserts anew: ten seconds of each process.
export PYTHONDONTWRITEBYTECODE =

PYTHON ?= python3
PORT ?= 8000
STORE ?= ./store
# those of deploy/fill_store.sh
MODELS ?=
FAMILIES = $(addprefix moons-,planar radial sylvester nsf nsf-ar maf-logistic maf-mog glow \
    gaussianization iterative-gaussianization) \
    $(addprefix digits-,realnvp-images glow mintnet maf-label wavenet)

STUDENTS ?= digits-student mnist-student

BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: help serve store family-store family-table bench-inverse bench-tables bench-anomaly \
    bench-false-alarms bench-reasons bench-images bench-playground bench-distill \
    bench-convolution bench-transformers pictures gallery \
    test test-long test-deep test-hostile test-schema gpu-check gpu-check-bundles release-check docker-check alerts-check \
    test-browser lock sbom audit notices manifests protos lint format

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: $(INSTALLED) ## Serve STORE (./store) on PORT (8000), and train what it lacks meanwhile
	PATH="$(CURDIR)/$(BIN):$$PATH" STORE="$(STORE)" MODELS="$(MODELS)" \
	    $(BIN)/python deploy/serve_examples.py --port $(PORT)

store: $(INSTALLED) ## Train what the store lacks
	PATH="$(CURDIR)/$(BIN):$$PATH" STORE="$(STORE)" MODELS="$(MODELS)" sh deploy/fill_store.sh

family-store: ## Train a small model of each other family into STORE
	$(MAKE) store MODELS="$(FAMILIES)"

family-table: $(INSTALLED) ## Train and measure every family (an hour or more; goes on where it was)
	$(BIN)/pip install --quiet zuko==1.6.0
	$(BIN)/python -m tests.benchmarks.families.table

bench-inverse: $(INSTALLED) ## Time sampling from a MAF beside other libraries (ten minutes)
	$(BIN)/pip install --quiet zuko==1.6.0 nflows==0.14 normflows==1.7.3
	$(BIN)/python -m tests.benchmarks.inverse

bench-tables: $(INSTALLED) ## Fit tables as people have them, without a recipe (hours; goes on where it was)
	$(BIN)/python -m tests.benchmarks.tables

bench-anomaly: $(INSTALLED) ## Score anomalies beside other detectors (hours; goes on where it was)
	$(BIN)/python -m tests.benchmarks.anomaly

bench-false-alarms: $(INSTALLED) ## Count the false alarms of detectors (an hour; goes on where it was)
	$(BIN)/python -m tests.benchmarks.anomaly.false_alarms

bench-reasons: $(INSTALLED) ## Replace values of normal rows and see whether reasons name them (half an hour; goes on where it was)
	$(BIN)/python -m tests.benchmarks.anomaly.reasons

bench-images: $(INSTALLED) ## Tell digits from clothes by a detector of images (minutes)
	$(BIN)/python -m tests.benchmarks.anomaly.images

bench-playground: $(INSTALLED) ## Hold the page at / to its bars of speed (half a minute)
	PLAYGROUND_BARS=1 $(BIN)/pytest tests/browser -s -q -k figures

bench-distill: $(INSTALLED) ## Time sampling from the STUDENTS' runs beside their teachers (minutes)
	$(BIN)/python -m tests.benchmarks.students $(STUDENTS:%=runs/%)

bench-convolution: $(INSTALLED) ## Time convolutions of graphs in float64, and WaveNets in chunks of time (minutes)
	$(BIN)/python -m tests.benchmarks.convolution

bench-transformers: $(INSTALLED) ## Time decoding from transformers beside encoding (minutes)
	$(BIN)/python -m tests.benchmarks.transformers

pictures: store gallery ## Draw the pictures of the pages (a quarter of an hour; goes on where it was)
	$(MAKE) store MODELS="moons-planar moons-realnvp"
	$(BIN)/python -m tests.benchmarks.pictures runs "$(STORE)"

gallery: $(INSTALLED) ## Draw each family for models/GALLERY.md (ten minutes; goes on where it was)
	$(MAKE) store MODELS=wine
	$(BIN)/python -m tests.benchmarks.gallery runs "$(STORE)"

test: $(INSTALLED) ## Run the tests
	$(BIN)/pytest -m "not long and not hostile and not browser" \
	    --numprocesses auto --maxprocesses 4 --dist worksteal

test-long: store ## Check the trained models of STORE against their bars, and run the longer tests
	STORE="$(STORE)" $(BIN)/pytest -m long --numprocesses auto --maxprocesses 4

test-deep: $(INSTALLED) ## Look for counterexamples, 50 times as long as `test` (up to 30 minutes)
	$(BIN)/pytest -m "hypothesis and not long and not hostile" --hypothesis-profile=deep \
	    --numprocesses auto --maxprocesses 4

test-hostile: $(INSTALLED) ## Attack the server as each hostile client would (15 minutes, timed)
	$(BIN)/pytest -m hostile

# in an environment of its own: it wants versions of its own
test-schema: $(INSTALLED) ## Ask the server what /openapi.json allows, and what it does not (minutes)
	$(PYTHON) -m venv build/schema
	build/schema/bin/pip install --quiet 'schemathesis>=4.32,<5'
	$(BIN)/python -m tests.release.schema_check "$(CURDIR)/build/schema/bin/schemathesis"

test-browser: $(INSTALLED) ## Drive the pages by Chromium against a server of STORE (7 minutes)
	STORE="$(STORE)" $(BIN)/pytest tests/browser --numprocesses 2 --dist worksteal

gpu-check-bundles: $(INSTALLED) ## Make the bundles of gpu-check, on any machine (minutes)
	$(BIN)/python -m tests.benchmarks.gpu bundles

# each half ends after 4 minutes, and goes on where it was when it is called again
gpu-check: gpu-check-bundles ## Test and time an NVIDIA GPU (two halves of 4 minutes)
	$(BIN)/pytest -m gpu tests/service/engine
	$(BIN)/python -m tests.benchmarks.gpu agree
	$(BIN)/python -m tests.benchmarks.gpu speed

release-check: $(INSTALLED) ## Build every distribution, install each alone, serve, ask and fit (minutes)
	$(BIN)/python -m tests.release.check tests/stored/format_1/store maf

docker-check: $(INSTALLED) ## Build the images of a clean clone, bring them up, ask and stop them (15 minutes)
	$(BIN)/python -m tests.release.docker_check tests/stored/format_1/store maf

alerts-check: $(INSTALLED) ## Fire each alert on a real Prometheus by its fault, and ask the dashboard (minutes)
	$(BIN)/python -m tests.monitoring

lock: ## Pin anew what the images install (deploy/locks)
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	UV="$(CURDIR)/build/lock/bin/uv" sh deploy/locks/lock.sh

sbom: ## List what the images install, in CycloneDX (build/sbom)
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet cyclonedx-bom==7.5.0
	mkdir -p build/sbom
	for lock in cpu gpu train; do build/audit/bin/cyclonedx-py requirements deploy/locks/$$lock.txt \
	    --pyproject pyproject.toml --output-reproducible -o build/sbom/$$lock.cdx.json || exit; done

audit: ## Ask PyPI's advisory service about what the images install
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit==2.10.1
	PIP_AUDIT="$(CURDIR)/build/audit/bin/pip-audit" sh deploy/audit.sh

# protobuf keeps messages by name in one pool of the process; these have a pool of their own
protos: ## Make the modules of gRPC's messages from open_inference.proto
	$(PYTHON) -m venv build/protos
	build/protos/bin/pip install --quiet grpcio-tools==1.76.0 'setuptools<81'
	build/protos/bin/python -m grpc_tools.protoc -Iservice/grpc/protos \
	    --python_out=service/grpc/protos --pyi_out=service/grpc/protos open_inference.proto
	sed -i 's/_descriptor_pool.Default()/_descriptor_pool.DescriptorPool()/' \
	    service/grpc/protos/open_inference_pb2.py

notices: $(INSTALLED) ## Write THIRD_PARTY_NOTICES.md from the packages that are installed
	mkdir -p build
	$(BIN)/python deploy/notices.py > build/notices.md
	mv build/notices.md THIRD_PARTY_NOTICES.md

manifests: $(INSTALLED) ## Write what follows from chart, panels and routes: kustomize's base, dashboard, llms.txt
	$(BIN)/python -m deploy.manifests
	$(BIN)/python -c 'from service.http.routes import llms_text as t; print(t(), end="")' > llms.txt

lint: $(INSTALLED) ## Check style, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Put the style right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

include tests/benchmarks/serving/serving.mk tests/benchmarks/papers/zoo.mk \
    tests/benchmarks/exports/exports.mk tests/benchmarks/memory/memory.mk

# Bijecta stands before the estimators, which require it: in the other order pip 23 looks for
# bijecta[train] in the package index before it has read this directory.
$(INSTALLED): pyproject.toml service/client/pyproject.toml training/estimators/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable service/client --editable '.[train,dev]' \
	    --editable training/estimators
	touch $@
