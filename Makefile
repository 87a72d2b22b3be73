# Thin wrappers around CMake that first install missing Debian packages; `make help` lists them.
PRESET ?= release
PREFIX ?= /usr/local
BUILD := build/$(PRESET)
JOBS ?= $(shell scripts/jobs.sh)
# A test that takes longer is named and ended, rather than to hold up all.
TEST_SECONDS ?= 900
NINJA = cmake --build $(BUILD) --parallel $(JOBS)
CTEST = ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure --no-tests=error \
	--timeout $(TEST_SECONDS)

.DEFAULT_GOAL := help
.PHONY: help packages build quickstart test test-slow test-isas test-asan test-asan-train test-tsan \
	fuzz soak cross-aarch64 check-lm-eval check-hf check-server check-python check-ray check-cuda bench lint \
	lint-fast format install clean

help:
	@echo "make quickstart  trains a block and a vanilla model on six novels, and races them"
	@echo "make build       both programs, in build/release"
	@echo "make test        builds and runs the fast tests; make test-slow the others;"
	@echo "                 make test-isas on lesser instruction sets than the processor's best"
	@echo "                 make cross-aarch64 the engine's for AArch64, in QEMU"
	@echo "make test-asan   tests of FOLDERS with ASan, UBSan and LeakSanitizer; make test-asan-train the"
	@echo "                 trainer's; make test-tsan those of what starts threads, with TSan"
	@echo "make fuzz        looks for inputs that break what reads them, SECONDS=60 a target"
	@echo "make soak        the engine under random requests, for SECONDS=600"
	@echo "make check-lm-eval  compares blockformer eval with EleutherAI's lm-evaluation-harness"
	@echo "make check-hf       compares exported models in Hugging Face's transformers with the program"
	@echo "make check-python   builds, installs and checks the Python package"
	@echo "make check-ray      runs python/examples/ray_batch.py with two workers, and kills one"
	@echo "make check-cuda     compiles the CUDA plugin and runs its tests on an emulated device"
	@echo "make check-server  uses blockformer serve with openai's library, curl and the harness"
	@echo "make bench       tokens/s of a small block and vanilla model, into $(BUILD)/bench.{json,svg}"
	@echo "make lint        format, naming, static analysis, include directions; make lint-fast all but"
	@echo "                 the static analysis, in seconds"
	@echo "make format      formats the C++ sources"
	@echo "make install     to PREFIX=$(PREFIX), below DESTDIR if that is set"
	@echo "make clean       removes build/"
	@echo "PRESET=release|debug|asan|no-train chooses the build, JOBS=$(JOBS) the parallel jobs"

packages:
	@scripts/install_packages.sh

$(BUILD)/build.ninja: | packages
	cmake --preset $(PRESET)

build: $(BUILD)/build.ninja
	$(NINJA)

quickstart:
	JOBS=$(JOBS) PRESET=$(PRESET) scripts/quickstart.sh

test: build
	$(CTEST) --label-exclude slow

test-slow test-asan-train test-tsan: TEST_SECONDS = 7200
test-slow: build
	$(CTEST) --label-regex slow

test-isas: build
	CTEST="$(CTEST)" scripts/dev/test_isas.sh

test-asan test-asan-train: packages
# FOLDERS="bench cli sweep" tests the others, which take longer to compile than all of these.
test-asan: BUILD := build/asan
test-asan: FOLDERS ?= base config text checkpoint data kernels cpu engine eval api server
test-asan:
	cmake --preset asan
	$(NINJA) --target $(FOLDERS:%=%_test)
	$(CTEST) --label-exclude slow --tests-regex "^($$(echo $(FOLDERS) | tr ' ' '|'))\."

# libtorch is not instrumented: errors of the trainer's own code are found, and those inside are not.
test-asan-train: BUILD := build/asan-train
test-asan-train:
	cmake --preset asan-train
	$(NINJA) --target train_test
	$(CTEST) --tests-regex '^train\.'

test-tsan: BUILD := build/tsan
test-tsan:
	@scripts/install_packages.sh build clang
	cmake --preset tsan
	$(NINJA) --target base_test cpu_test engine_test eval_test api_test server_test cli_test
	$(CTEST) --tests-regex '^(base|cpu|engine|eval|api|server|cli)\.'

fuzz: BUILD := build/fuzz
fuzz: SECONDS ?= 60
fuzz:
	@scripts/install_packages.sh build clang
	cmake --preset fuzz
	$(NINJA) --target fuzz_targets
	scripts/dev/fuzz.sh $(BUILD) $(SECONDS) $(TARGETS)

soak: SECONDS ?= 600
soak: $(BUILD)/build.ninja
	$(NINJA) --target soak
	ASAN_OPTIONS=quarantine_size_mb=8 $(BUILD)/tests/soak/soak $(SECONDS) $(SEED)

# Left out are tests that take minutes in QEMU and check more of the same (bf16 is widened to f32
# there), and those of what computes nothing; EXCLUDE=none runs them too.
cross-aarch64: BUILD := build/cross-aarch64
cross-aarch64: REPEATED = InvarianceTest.*(/Cross|/(Modern|Fused|Roberta).*_f32|_bf16)|ThreadsTest.*(/Vanilla_f32|_bf16)
cross-aarch64: LOGIC = engine\.(TextGenerator|EngineLoop|TextStream|Scheduler|StopMatcher|PagePool|Json.*|Request)Test
cross-aarch64: EXCLUDE ?= [15]000( |$$)|AgreeWithSorting|FiltersKeepWhatTheySay|$(REPEATED)|$(LOGIC)
cross-aarch64:
	@scripts/install_packages.sh build cross
	@scripts/dev/make_sysroot.sh arm64 $(BUILD)/sysroot
	cmake --preset cross-aarch64
	$(NINJA) --target base_test kernels_test cpu_test engine_test
	$(CTEST) --tests-regex '^(base|kernels|cpu|engine)\.' --exclude-regex '$(EXCLUDE)'

check-lm-eval: $(BUILD)/build.ninja
	$(NINJA) --target blockformer blockformer_shared
	BUILD=$(BUILD) scripts/dev/check_lm_eval.sh

check-hf: $(BUILD)/build.ninja
	$(NINJA) --target blockformer
	BUILD=$(BUILD) scripts/dev/check_hf.sh

check-cuda: packages
	scripts/dev/check_cuda.sh

check-server: $(BUILD)/build.ninja
	$(NINJA) --target blockformer
	BUILD=$(BUILD) scripts/dev/check_server.sh

check-python: $(BUILD)/build.ninja
	$(NINJA) --target blockformer
	BUILD=$(BUILD) JOBS=$(JOBS) scripts/dev/check_python.sh

check-ray: check-python
	BUILD=$(BUILD) scripts/dev/check_ray.sh

bench: $(BUILD)/build.ninja
	$(NINJA) --target blockformer
	$(BUILD)/blockformer bench throughput recipes/small/block_5m.yaml recipes/small/vanilla_5m.yaml \
		--batch 1,8,32,128 --prompt 384 --generate 128 --force --json $(BUILD)/bench.json \
		--plot $(BUILD)/bench.svg

lint:
	@scripts/install_packages.sh build lint
	JOBS=$(JOBS) scripts/dev/lint.sh

lint-fast:
	@scripts/install_packages.sh lint
	scripts/dev/lint.sh fast

format:
	@scripts/install_packages.sh build lint
	git ls-files '*.h' '*.cc' | xargs clang-format-16 -i

install: build
	DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build
