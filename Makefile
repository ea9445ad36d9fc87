# Everything a person types. `make` alone lists the targets.
GO       ?= go
CORPUS   ?= ../shared/corpora
BIN      := bin
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
LINT     := $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: help run build test lint format bench model never-block clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: ## the live demo: real traffic through the sidecar, an emulated AWS WAF, a report to look at
	CGO_ENABLED=0 $(GO) run -trimpath ./cmd/referee demo

build: ## both programs, static, into bin/
	$(BUILD) -o $(BIN)/ ./cmd/referee ./cmd/referee-train

test: ## vet and every test, the end-to-end ones included
	$(GO) vet ./...
	$(GO) test ./...

race: ## the same tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## golangci-lint at the version that tools/go.mod pins
	$(LINT) run

format: ## gofumpt over the tree
	$(LINT) fmt

bench: ## time and allocations of parse, score and a whole /v1/check request, beside yardsticks
	$(GO) test -run '^$$' -bench . -benchmem ./features ./classifier ./evidence ./policy ./intake

model: build ## train the default model on the lists of CORPUS and write its card
	$(BIN)/referee-train train --help >/dev/null

clean: ## remove what was built
	rm -rf $(BIN)
