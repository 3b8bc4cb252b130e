# synupkeep: make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
GO ?= go
SANDBOX_DIR ?= .sandbox
LINT := bin/golangci-lint
# The image: its name, and the architecture of the program in it.
IMAGE ?= localhost/synupkeep:latest
IMAGE_ARCH = $(or $(GOARCH),$(shell $(GO) env GOARCH))

# The race detector needs a C compiler. Without one the tests run all the same, and say so.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: help build demo demo-down test test-go lint fmt fuzz bench clean test-long test-versions test-page test-units image test-image release packages test-packages

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, static, as bin/synupkeep
	CGO_ENABLED=0 $(GO) build -trimpath -tags urfave_cli_no_docs -o bin/synupkeep .

bin/sandbox: FORCE
	@$(GO) build -o $@ ./internal/sandbox/cmd/sandbox

demo: build bin/sandbox ## a real Synapse, seeded; synupkeep cleans it twice and reports
	@./scripts/demo "$(SANDBOX_DIR)"

demo-down: bin/sandbox ## stop what the demo left running
	@bin/sandbox down --dir "$(SANDBOX_DIR)"

test: lint test-go ## formatting, linter and every test, on a real Synapse that they start themselves

test-go:
	@test -n "$(RACE)" || echo "no C compiler: the tests run without the race detector"
	$(GO) test $(RACE) -shuffle=on -timeout 40m ./...

test-page: ## the pages of --html in Chromium; SYNUPKEEP_TEST_SCREENSHOTS=DIR keeps pictures of them
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ echo "test-page needs Chromium (Debian: apt-get install chromium)" >&2; exit 1; }
	$(GO) test -count=1 -tags chromium -run Chromium ./sinks/page/

image: ## the container image, as IMAGE=localhost/synupkeep:latest, for GOARCH, with buildah, docker or podman
	CGO_ENABLED=0 GOOS=linux GOARCH=$(IMAGE_ARCH) $(GO) build -trimpath -tags urfave_cli_no_docs -ldflags '-s -w' -o bin/image/linux-$(IMAGE_ARCH)/synupkeep .
	@./scripts/image "$(IMAGE)" "$(IMAGE_ARCH)" $(IMAGEFLAGS)

test-image: ## the image, built by buildah and run on a real Synapse; as root
	@command -v buildah >/dev/null || { echo "test-image needs buildah (Debian: apt-get install buildah)" >&2; exit 1; }
	$(GO) test -count=1 -tags image -timeout 15m ./deploy/image/

test-units: ## the systemd units, by systemd-analyze
	@command -v systemd-analyze >/dev/null || { echo "test-units needs systemd-analyze (Debian: apt-get install systemd)" >&2; exit 1; }
	$(GO) test -count=1 -tags systemd -run 'TestUnits|TestTheService' ./deploy

bin/nfpm: tools/packages/go.mod tools/packages/go.sum
	$(GO) build -modfile=tools/packages/go.mod -o $@ github.com/goreleaser/nfpm/v2/cmd/nfpm

release: bin/nfpm ## dist/: programs, deb, rpm, what they are made of and SHA256SUMS; the same bytes from the same commit
	$(GO) run ./internal/release --out dist --nfpm $(CURDIR)/bin/nfpm

packages: bin/nfpm ## the same for this machine's architecture alone
	$(GO) run ./internal/release --out dist --nfpm $(CURDIR)/bin/nfpm --arch $(IMAGE_ARCH)

test-packages: bin/nfpm ## the deb and the rpm: what is in them, and whether two builds give the same bytes
	@command -v dpkg-deb >/dev/null && command -v rpm >/dev/null || { echo "test-packages needs dpkg-deb and rpm (Debian: apt-get install dpkg rpm)" >&2; exit 1; }
	$(GO) test -count=1 -tags packages -run Package ./internal/release

LONG ?= 22m
test-long: ## faults, kills and crowds at random, each for LONG, and every fuzz target: about an hour
	SYNUPKEEP_TEST_FOR=$(LONG) $(GO) test $(RACE) -count=1 -shuffle=on -p 2 -timeout 4h ./proof/...
	./scripts/fuzz 20s

test-versions: ## the tests that use a server on older releases of Synapse and PostgreSQL, an hour or more
	$(GO) run ./internal/sandbox/cmd/versions $(VERSIONSFLAGS)

fuzz: ## every fuzz target, FUZZTIME=30s each
	@./scripts/fuzz $(or $(FUZZTIME),30s)

lint: $(LINT) ## formatting and linter
	$(LINT) fmt --diff
	$(LINT) run
	$(GO) mod tidy -diff

fmt: $(LINT) ## format everything
	$(LINT) fmt

$(LINT): tools/go.mod tools/go.sum
	$(GO) build -modfile=tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bench: ## compare with baselines in the same run, print the ratios (some 20 minutes)
	$(GO) run ./bench $(BENCHFLAGS) | tee bench.txt

clean: ## what was built; the sandbox's cache stays
	rm -rf bin dist bench.txt

FORCE:
