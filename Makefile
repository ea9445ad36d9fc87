# Everything a person types. `make` alone lists the targets.
GO       ?= go
CORPUS   ?= ../shared/corpora
BIN      := bin
OLD      ?= classifier/default.model
FOLDS    ?= 5
SAMPLE   ?= 20
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
LINT     := $(GO) tool -modfile=tools/go.mod golangci-lint

# What the model is measured with: names and sources that it was not trained on.
DEV_SETS := benign_stable_multi_year benign_tail_com_net_org benign_tail_fr_2017 benign_gov_edu benign_old_alexa_opendns \
  benign_tranco_2026-08_sample hard_adtech hard_chinese hard_consonant_or_digit_mix hard_long_sld_ge20 hard_short_sld_le4 \
  hard_shortener_vanity dga_known_families_unseen dga_unseen_families
DEV_LISTS = $(foreach set,$(DEV_SETS),--set $(set)=$(CORPUS)/dev/$(set).tsv.gz)

.PHONY: help run build test race lint format bench bench-lists model evaluate folds compare never-block test-caddy check-examples soak soak-ingress soak-ledger slow simulate replay bench-ingress bench-scan bench-scan-memory clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' Makefile

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
	$(GO) test -run '^$$' -bench . -benchmem ./features ./classifier ./evidence ./policy ./intake ./ledger ./report ./waf

bench-ingress: ## CPU per request, latency, memory and a flood of the real sidecar beside fasthttp and nginx (ten minutes; BENCH=--quick: one)
	$(BUILD) -o $(BIN)/ ./cmd/referee ./bench
	$(BIN)/bench --referee $(BIN)/referee $(BENCH)

bench-lists: ## read ten million rows as train does, and clean a million as fetch does: rows a second and the process's peak memory
	$(GO) test ./training -run '^$$' -bench ReadTenMillion -benchtime 1x
	$(GO) test ./training -run '^$$' -bench CorpusOfTenMillion -benchtime 1x
	$(GO) test ./training/fetch -run '^$$' -bench Clean -benchtime 1x -benchmem

model: build ## train the default model on the lists of CORPUS and write its card (some minutes on 2 free cores)
	$(BIN)/referee-train train --benign $(CORPUS)/train/benign.tsv.gz --dga $(CORPUS)/train/dga.tsv.gz \
	  --sources $(CORPUS)/SOURCES.md --families $(CORPUS)/families.tsv \
	  --clean 'zonewalk_*' --hold-back 60 --cross-fit 2 $(DEV_LISTS) --targets --out classifier/default.model --card docs/model-card.md

evaluate: build ## measure the default model on the development lists of CORPUS, beside the targets, and into dist/ as JSON and a page
	mkdir -p dist
	$(BIN)/referee-train evaluate --model classifier/default.model --families $(CORPUS)/families.tsv $(DEV_LISTS) --targets \
	  --json dist/evaluation.json --html dist/evaluation.html

folds: build ## leave whole families out, FOLDS-fold, learning from SAMPLE percent of the labels, into dist/ too (some minutes)
	mkdir -p dist
	$(BIN)/referee-train evaluate --folds $(FOLDS) --sample $(SAMPLE) --benign $(CORPUS)/train/benign.tsv.gz --dga $(CORPUS)/train/dga.tsv.gz \
	  --sources $(CORPUS)/SOURCES.md --families $(CORPUS)/families.tsv --clean 'zonewalk_*' --hold-back 60 \
	  --json dist/folds.json --html dist/folds.html

compare: build ## the gate for replacing a model: OLD= and NEW= on the development lists of CORPUS; fails if NEW is worse
	$(BIN)/referee-train compare $(OLD) $(NEW) --families $(CORPUS)/families.tsv $(DEV_LISTS)

never-block: build ## make the filter of popular names from the list of CORPUS
	$(BIN)/referee-train never-block --list $(CORPUS)/popular_stable.txt.gz --out policy/popular.filter

test-caddy: ## the Caddy example with a real Caddy, which go install builds into bin/ (some minutes the first time)
	GOBIN=$(CURDIR)/$(BIN) $(GO) install github.com/caddyserver/caddy/v2/cmd/caddy@v2.10.2
	PATH=$(CURDIR)/$(BIN):$$PATH $(GO) test ./deploy/examples -run Caddy -count=1 -v

check-examples: ## the examples of Envoy, Istio, Gateway API and ingress-nginx against the definitions of their APIs (some minutes the first time)
	$(GO) test -C tools/examples -count=1 -v .

soak: soak-ingress ## thirty days of the WAF updater in compressed time, with faults, kills and other writers (two minutes), and soak-ingress
	$(GO) test ./waf -run TestSoak -soak.days=30 -count=1 -v

soak-ingress: ## ten minutes of the proxy in front of an application that restarts all the time
	$(GO) test ./intake -run TestSoak -soak.for=10m -count=1 -v -timeout 20m

soak-ledger: ## a hundred kills under load of a process that writes a ledger, and of the real sidecar: no decision lost, the chain whole
	$(GO) test ./ledger -run Killed -ledger.kills=100 -count=1 -v -timeout 20m
	$(GO) test ./cmd/referee -run Killed -kills=100 -count=1 -v -timeout 30m

slow: ## slowhttptest's slow headers, bodies and readers against the real proxy (a minute each)
	$(GO) test ./deploy/examples -run Slow -slow.for=60s -count=1 -v

bench-scan: ## CPU time a line of referee scan, an ordinary log and a flood of 1,000,000 lines, beside wc -l and awk (some minutes)
	$(GO) test ./scan -run TestSpeed -scan.lines=1000000 -scan.rounds=7 -count=1 -v -timeout 1h

bench-scan-memory: ## resident memory of referee scan over 10 GB through a pipe (some minutes)
	$(GO) test ./scan -run TestMemoryStaysFlat -scan.gigabytes=10 -count=1 -v -timeout 2h

simulate: build ## play people and attacks against the evidence rules, and write docs/simulation.md (some ten minutes)
	$(BIN)/referee-train simulate --families $(CORPUS)/families.tsv $(DEV_LISTS) \
	  --set hard_chinese_numeric=$(CORPUS)/dev/hard_chinese_numeric.tsv.gz --out docs/simulation.md

replay: ## replay real Referers beside a planted attack, and list what is flagged and caught
	$(GO) test ./cmd/referee -run RealReferers -count=1 -v

clean: ## remove what was built
	rm -rf $(BIN)
