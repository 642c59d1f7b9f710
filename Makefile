# The front door. `make help` lists the targets; CMakeLists.txt knows how things are built.
SHELL := /bin/sh
PREFIX ?= /usr/local
SECONDS ?= 60
comma := ,
unexport MAKEFLAGS  # the build below chooses its own number of jobs

# Looked up when a recipe runs, because `make deps` may have just installed it.
generator = $$(command -v ninja >/dev/null && [ ! -e $(1)/CMakeCache.txt ] && echo "-G Ninja")
jobs = --parallel $$(nproc 2>/dev/null || echo 4)
# $(call build,folder,target,options): configures and builds. WERROR=ON makes warnings errors.
build = cmake -S . -B $(1) $(call generator,$(1)) $(if $(WERROR),-DCAIRN_WERROR=$(WERROR)) $(3) \
  >/dev/null && cmake --build $(1) --target $(2) $(jobs)
# CUDA=1 insists on building with CUDA, CUDA=0 builds without; else it is used when it is found.
cuda = $(if $(CUDA),$(if $(filter 0 no off OFF,$(CUDA)),OFF,ON),AUTO)
release = $(call build,build,$(1),-DCAIRN_BIN_DIR="$(CURDIR)/bin" -DCAIRN_CUDA=$(cuda))
ctest = ctest --output-on-failure --no-tests=error --timeout 900 $(jobs) --test-dir

.PHONY: all deps demo test test-all everything train-release bench eval bench-peers test-browser test-install \
  test-gpu bench-gpu gpu-check asan ubsan tsan \
  golden mutate clang fuzz doctor format format-check install clean help

all: deps  ## build the libraries and the programs (bin/match, bin/train, ...)
	@$(call release,programs)

deps:  ## install what the build needs and does not find (EXTRA="clang" adds to it)
	@.ci/deps $(EXTRA)

demo: all  ## train a small network for a minute, match two photos with the bundled weights
	@rm -rf build/demo
	@echo "== Training a network from scratch on twelve photos, for about a minute"
	@bin/train --images data/demo/photos --out build/demo --iterations 400 --difficulty 0.5 \
	  --lr 2e-3 --log-every 40
	@echo "== Matching two photos with the bundled weights"
	@bin/match data/demo/pair/a.jpg data/demo/pair/b.jpg --out build/demo
	@echo "The picture: build/demo/matches.png"

everything: deps  ## build the tests too
	@$(call release,all)

test: everything  ## build and run the tests, but for the slow ones
	@$(ctest) build --label-exclude 'slow|gpu'

test-all: everything  ## build and run all tests, but for those that need a GPU
	@$(ctest) build --label-exclude gpu

# The stages of a recipe, each from the weights of the one before; stopped, it goes on where it was.
RECIPE ?= ucn-f
RUNS ?= runs
train-release: all  ## train RECIPE=ucn-f anew on PHOTOS=folder and SCENES="sparse=photos ..."
	@[ -n "$(PHOTOS)" ] || { echo "train-release: name the photos: make train-release PHOTOS=folder" >&2; exit 2; }
	@[ -d ucn/recipes/$(RECIPE) ] || { echo "train-release: no RECIPE=$(RECIPE); there is $$(ls ucn/recipes | xargs)" >&2; exit 2; }
	@[ -n "$(SCENES)" ] || ! grep -q colmap ucn/recipes/$(RECIPE)/*.json || { echo "train-release: the recipe mixes reconstructions in: name them, SCENES='sparse=photos ...'" >&2; exit 2; }
	@trap 'exit 130' INT TERM; last=; for stage in ucn/recipes/$(RECIPE)/*.json; do \
	  scenes=; if grep -q colmap $$stage; then for s in $(SCENES); do \
	    scenes="$$scenes --colmap $${s%%=*} --photos $${s#*=}"; done; fi; \
	  out=$(RUNS)/$(RECIPE)-$$(basename $$stage .json); \
	  if [ -e $$out/config.json ]; then bin/train --resume --out $$out; \
	  else bin/train --config $$stage --images "$(PHOTOS)" $$scenes $${last:+--init $$last} --out $$out $(ARGS); \
	  fi || exit; last=$$out/weights.safetensors; done; \
	  bin/convert --half $$last $(RUNS)/$(RECIPE).safetensors

bench: all  ## measure the speed of this machine's kernels and networks
	@bin/bench $(ARGS)

eval: all  ## measure matches on DATASET=folder, beside RootSIFT
	@[ -n "$(DATASET)" ] || { echo "eval: name a set: make eval DATASET=folder" >&2; exit 2; }
	@bin/eval "$(DATASET)" --baseline sift $(ARGS)

# The peers live outside the tree; what the registries do not have is said and left out.
PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cairn-peers
bench-peers: deps  ## measure beside PyTorch, ONNX Runtime, OpenVINO, FAISS and OpenCV on the CPU
	@$(call release,cairn_peer)
	@[ -x $(PEERS)/bin/pip ] || python3 -m venv $(PEERS) || \
	  { echo "bench-peers: this needs Debian's packages python3 and python3-venv" >&2; exit 1; }
	@for p in numpy safetensors torch onnx onnxruntime openvino faiss-cpu opencv-python-headless; do \
	  $(PEERS)/bin/pip show -q $$p 2>/dev/null || $(PEERS)/bin/pip install -q $$p || \
	  echo "bench-peers: $$p cannot be had here"; done
	@$(PEERS)/bin/python tests/peers/cpu_peers.py $(PEERS)/bin/python build/tests/cairn_peer $(ARGS)

test-gpu: everything  ## run the CUDA kernels' tests and the golden numbers on the GPU
	@.ci/gpu test

test-browser: deps  ## look at the interactive pages in headless Chromium
	@command -v chromium chromium-browser google-chrome >/dev/null || .ci/deps chromium
	@pkg-config --exists cpp-httplib 2>/dev/null || .ci/deps pkg-config libcpp-httplib-dev
	@$(call release,test_browser)
	@$(ctest) build --tests-regex '^browser/'

test-install: deps  ## install into a folder; build and run C, C++ and Python programs against that
	@for p in python3 /usr/bin/python3; do $$p -c "import numpy" 2>/dev/null && exit; done; \
	  .ci/deps python3-numpy
	@.ci/deps pkg-config
	@$(call release,programs)
	@$(ctest) build --tests-regex '^house/install_all'

bench-gpu: all  ## measure on the GPU, beside PyTorch where that is installed
	@.ci/gpu bench $(ARGS)

gpu-check: everything  ## build, test and measure on the GPU, in ten minutes
	@.ci/gpu check

asan: sanitizer = address
ubsan: sanitizer = undefined
tsan: sanitizer = thread
asan ubsan tsan: deps  ## the tests under the address, undefined behaviour or thread sanitizer
	@$(call build,build/$@,all,-DCAIRN_SANITIZE=$(sanitizer) -DCAIRN_CUDA=OFF)
	@$(if $(filter tsan,$@),$$(setarch -R true 2>/dev/null && echo setarch -R)) \
	  $(ctest) build/$@ --label-exclude 'slow|gpu'

golden: deps  ## compare with the reference's own numbers; GOLDEN_DIR=folder takes other files
	@$(call release,test_golden)
	@GOLDEN_DIR="$(GOLDEN_DIR)" build/tests/test_golden --minimal

mutate: everything  ## plant bugs one at a time; the tests must find each
	@tests/mutate.sh $(ARGS)

# What it says does not depend on how far it optimises, the time it takes does.
clang: deps  ## build with clang, warnings as errors
	@.ci/deps clang
	@$(call build,build/clang,all,-DCMAKE_CXX_COMPILER=clang++ -DCAIRN_WERROR=ON -DCAIRN_CUDA=OFF \
	  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0)

fuzz: deps  ## feed damaged files to the readers, SECONDS=60 each, under the address sanitizer
	@.ci/deps clang
	@echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' | \
	  clang++ -x c++ -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null || \
	  .ci/deps libclang-rt-$$(clang++ -dumpversion | cut -d. -f1)-dev
	@$(call build,build/fuzz,fuzz,-DCMAKE_CXX_COMPILER=clang++ -DCAIRN_CUDA=OFF \
	  -DCAIRN_SANITIZE=address$(comma)fuzzer-no-link)
	@for source in tests/fuzz/*.cpp; do name=$$(basename $$source .cpp); mkdir -p build/fuzz/$$name; \
	  build/fuzz/tests/$$name -max_total_time=$(SECONDS) -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$name- build/fuzz/$$name \
	    $$(ls -d tests/fuzz/$$name 2>/dev/null) || exit 1; done

doctor:  ## say what is here and what is not, each line proven by running it
	@.ci/doctor

sources = git ls-files -co --exclude-standard '*.h' '*.cpp' '*.cu' '*.cuh'
format:  ## lay out the sources with clang-format
	@.ci/deps clang-format
	@$(sources) | xargs clang-format -i

format-check:  ## fail when clang-format would change a source
	@.ci/deps clang-format
	@$(sources) | xargs clang-format --dry-run -Werror

install: all  ## install libraries, headers, weights and packages under PREFIX (/usr/local)
	@cmake --install build --prefix $(abspath $(PREFIX)) >/dev/null
	@[ "$$(id -u)" != 0 ] || ! command -v ldconfig >/dev/null || ldconfig  # so that libcairn.so is found
	@echo "Installed under $(abspath $(PREFIX)): pkg-config and find_package know it as cairn."

clean:  ## remove everything built
	@rm -rf build $(basename $(wildcard bin/*.cpp))

help:  ## list the targets
	@sed -n 's/^\([a-z][a-z -]*\):[^#=]*  ## /\1|/p' Makefile | \
	  while IFS='|' read -r target what; do printf '  %-20s %s\n' "make $$target" "$$what"; done
