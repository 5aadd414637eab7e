# kanmon: `make help` says what there is.

SHELL       = /bin/bash
.SHELLFLAGS = -eu -o pipefail -c

GO      ?= go
TOOL     = $(GO) tool -modfile=tools/go.mod
BUILD    = build
FUZZTIME ?= 30s
MINUTES  ?= 40
ATTEMPTS ?= 1000000
DAYS     ?= 14

# The namespace tests bring real mail servers up, those of rules and dashboards run promtool; the others need nothing but Go.
NETNS = ./test/netns/... ./test/parity ./test/scanners
UNIT  = $(shell $(GO) list ./... | grep -v -e '/test/netns' -e '/test/parity' -e '/test/scanners' -e '/test/monitoring' -e '/test/story' -e '/test/history')

# The race detector does not look into SQLite, which is not ours, locks for itself, and is what most tests with a file would spend their time in.
RACE = -race -gcflags=modernc.org/...=-race=false

# The packages that begin no goroutine run without the race detector, which makes everything ten times as long; those of their tests that call them from
# many goroutines run with it, too. test/calm keeps both lists true.
CALM = internal/event/timing internal/event/word internal/outlet/classify internal/outlet/route internal/outlet/shape internal/policy/contain \
	internal/policy/limit internal/smtp/replies internal/view/chart internal/view/find internal/view/history internal/view/report internal/view/tally \
	internal/who/mailbox internal/who/share internal/who/veil internal/who/whose internal/who/witness packaging test/bounds test/calm test/classify \
	test/classify/grammar test/classify/grammar/refusal test/guide test/law test/pages
ATONCE = TestClassifyAtOnce TestTwoIPsAreTightenedWhereNobodyKnowsAnAmount TestConcurrentUse TestCrowd TestOrders TestSettleOnce
ATONCEIN = internal/outlet/classify internal/outlet/shape internal/policy/contain internal/policy/limit

# Tests of other packages that are much work of one goroutine, of a database or of many octets, and that show nothing more with the race detector.
LONG = TestMemoryIsBounded TestANewSendingIPGrowsUpWithinAReceiversSecretCurve TestOutsider TestShapingHalvesWhatReceiversWithDocumentedLimitsDefer \
	TestPinsAreSharedAmongTenants TestExplainSaysWhatWarmUpDecidesToday TestStoriesAreToldAndNobodyWhoIsHidden TestKills TestTheOldestIsDropped \
	TestThousandsOfSubjects TestFullDiskTakesAllOrNothing TestAStrangersWordsTakeOnlySoMuch TestKilledAtAnyTimeLosesAndDoublesNothing TestScripts \
	TestSpamToTheSamePeopleIsContained TestAuditIsBounded TestListsAndForwarders TestHeaderFilterWithEndlessLines TestEveryKindOfWorkCounts \
	TestLongRepliesAreNotKept TestSessionLogOfALongTransactionIsCutAsItsRecord TestLongTransactionIsCutAndCounted TestAccountOfAnEndlessMessage \
	TestLongRefusalsCostWhatIsKeptOfThem TestAMailOfThousandsOfAttemptsIsFound TestSpamWithoutASenderIsContained TestThousandsOfHostileTextsAreTold
# Tests of sessions that the race detector sees a part of, and that are run in full without it; or that cannot run with it.
FULL = TestModelOfPipelinedSessions TestModelOfAdmittedMail TestCutAtEveryOctet TestFaultHostileReplies TestRescue \
	TestAttacksOnTLSOfDomainsThatAsk TestNoAllocationPerMessage TestHeldSessionsHaveSmallStacks
LONGIN = internal/session internal/smtp internal/outlet internal/outlet/standing internal/policy internal/view/notify internal/view/history/days cmd/kanmon

# Words as a pattern of test names.
named = ^($(subst $() ,|,$(strip $(1))))$$

TESTSUM = $(TOOL) gotestsum --format standard-quiet

.PHONY: help
help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Empty outside of a git checkout, unless it is said: then the program calls itself (unknown).
VERSION ?= $(shell packaging/version.sh 2>/dev/null)
PREFIX  ?= /usr/local

.PHONY: build
build: go ## build the program: build/kanmon
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags "-X main.release=$(VERSION)" -o $(BUILD)/kanmon ./cmd/kanmon

# An older Go says only that it does not understand go.mod.
.PHONY: go
go:
	@packaging/go-version.sh "$(GO)"

.PHONY: install
install: ## install what was built: PREFIX=/usr/local DESTDIR=; nothing that you have changed is written over
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" dist/install.sh install

.PHONY: uninstall
uninstall: ## take away what install has installed, not the configuration, nor what was learnt and recorded
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" dist/install.sh uninstall

.PHONY: packages
packages: go ## .deb, .rpm and tarball for ARCHES="amd64 arm64", bills of materials, SHA256SUMS: build/packages; VERSION= (from git)
	@VERSION="$(VERSION)" packaging/build.sh

.PHONY: container
container: go ## an image of kanmon alone, as an OCI archive: build/kanmon-oci.tar (buildah)
	@VERSION="$(VERSION)" packaging/container.sh

.PHONY: test-packages
test-packages: ## build the packages twice, judge them, install, upgrade, remove and purge them (root, under 10 minutes)
	test/setup/install.sh packages
	$(GO) run ./test/packages

.PHONY: docs
docs: ## bring the reference pages up to date: docs/ref/cli.md with its examples, the tables of docs/ref/configuration.md
	$(GO) test -count=1 ./cmd/kanmon -run TestExamplesOfTheManual -update
	$(MAKE) build
	$(BUILD)/kanmon manual cli.md > docs/ref/cli.md
	$(BUILD)/kanmon manual configuration.md docs/ref/configuration.md > $(BUILD)/configuration.md
	mv $(BUILD)/configuration.md docs/ref/configuration.md

# Man pages and completion are built, not kept: they are made of what is in the program and in docs/ref/configuration.md.
.PHONY: man
man: build ## build/man: kanmon(1), kanmon.toml(5); build/completion: for bash, zsh, fish
	@mkdir -p $(BUILD)/man $(BUILD)/completion
	$(BUILD)/kanmon manual kanmon.1 | $(TOOL) go-md2man -out $(BUILD)/man/kanmon.1
	$(BUILD)/kanmon manual kanmon.toml.5 docs/ref/configuration.md | $(TOOL) go-md2man -out $(BUILD)/man/kanmon.toml.5
	$(BUILD)/kanmon completion bash > $(BUILD)/completion/kanmon.bash
	$(BUILD)/kanmon completion zsh > $(BUILD)/completion/_kanmon
	$(BUILD)/kanmon completion fish > $(BUILD)/completion/kanmon.fish

.PHONY: demo
demo: setup ## two tenants, a gateway, an MX and a slow MX on this host; real mail, the session log live (root)
	$(GO) run ./test/demo

.PHONY: figures
figures: setup ## the paper's experiments with real Postfix, and their figures: docs/experiments (root, under 18 minutes; QUICK=1: build/experiments, under 6)
	$(GO) run ./lab

.PHONY: compromised
compromised: setup ## a compromised account, with and without containment, and with scanners: docs/experiments/compromised.md (root, under 12 minutes; QUICK=1: build/experiments, under 6)
	$(GO) run ./lab -only compromised

.PHONY: kinds
kinds: ## what a list and a forwarder do to a tenant, marked and unmarked: the table of docs/why/senders.md
	$(GO) test ./internal/policy -run TestListsAndForwarders -count 1 -v

# All parts run the program that `build` makes. Part by part each builds its own (test/built).
test: export KANMON_PROGRAM = $(CURDIR)/$(BUILD)/kanmon

.PHONY: test
test: setup build lint unit beside rough proven interop ## everything that must be true before a change goes in (root, under 25 minutes)

# The namespace tests wait for most of their time, so three go at once on two cores, and nothing of them is the browser's. What each of these says
# comes together, when it has ended.
.PHONY: beside
beside:
	@$(MAKE) --no-print-directory -j2 --output-sync=target netns monitoring page

.PHONY: setup
setup: # install what the tests run, where it is missing; costs nothing when it is there
	test/setup/install.sh

.PHONY: lint
lint: ## golangci-lint, in which is all of go vet, gofumpt and the direction of imports
	$(TOOL) golangci-lint run ./...
	cd test/interop && $(GO) tool -modfile=../../tools/go.mod golangci-lint run ./...
	cd test/web && $(GO) tool -modfile=../../tools/go.mod golangci-lint run ./...

# Nothing is vetted again: lint has done it.
.PHONY: unit
unit: raced # unit tests, dialogues and the fuzz targets' seeds
	@$(MAKE) --no-print-directory -j2 --output-sync=target calm long story

# Three packages at once: some have little to do but wait for the kernel.
.PHONY: raced
raced:
	@mkdir -p $(BUILD)
	$(TESTSUM) --jsonfile $(BUILD)/unit.json -- -count=1 -vet=off -p=3 $(RACE) -shuffle=on -timeout=15m -skip '$(call named,$(LONG))' $(filter-out $(CALM:%=kanmon/%),$(UNIT))
	$(TESTSUM) --jsonfile $(BUILD)/atonce.json -- -count=1 -vet=off $(RACE) -timeout=5m -run '$(call named,$(ATONCE))' $(ATONCEIN:%=./%)

.PHONY: calm
calm:
	@mkdir -p $(BUILD)
	$(TESTSUM) --jsonfile $(BUILD)/calm.json -- -count=1 -vet=off -shuffle=on -timeout=10m $(CALM:%=./%)

.PHONY: long
long:
	@mkdir -p $(BUILD)
	$(TESTSUM) --jsonfile $(BUILD)/long.json -- -count=1 -vet=off -timeout=10m -run '$(call named,$(LONG) $(FULL))' $(LONGIN:%=./%)

.PHONY: story
story:
	@mkdir -p $(BUILD)
	$(TESTSUM) --jsonfile $(BUILD)/story.json -- -count=1 -vet=off -timeout=10m ./test/story ./test/history

.PHONY: monitoring
monitoring: ## the rules for Prometheus, their runbooks and the dashboards, against the metrics that there are
	$(GO) test -count=1 -vet=off ./test/monitoring

.PHONY: page
page: ## the page in a real browser: every page, without scripts, by keys, on a telephone; pictures of them in build/pages
	cd test/web && $(GO) test -count=1 -vet=off -timeout=15m .

.PHONY: picture
picture: setup ## the picture of the page in the README: docs/page.png
	cd test/web && $(GO) test -count=1 -timeout=5m -run TestEachPageOfHistoryIsFitForAll/past-providers-docomo .
	cp $(BUILD)/pages/picture.png docs/page.png

.PHONY: netns
netns: # real mail servers in network namespaces (root)
	@mkdir -p $(BUILD)
	$(TESTSUM) --jsonfile $(BUILD)/netns.json -- -count=1 -vet=off -parallel=3 -timeout=20m $(NETNS)

.PHONY: rough
rough: # samples of the soak, of the hostile tenant and of the restrictions (root, three minutes)
	QUICK=1 $(GO) run ./test/soak
	QUICK=1 $(GO) run ./test/hostile
	QUICK=1 $(GO) run ./test/restricted

.PHONY: law
law: ## the table: which test proves each line of docs/engine.md
	$(GO) run ./test/law

.PHONY: proven
proven: # as law, without the table, and only what passed in the runs of unit and netns counts
	@cat $(BUILD)/{unit,atonce,calm,long,netns}.json > $(BUILD)/test.json
	$(GO) run ./test/law -summary -results $(BUILD)/test.json

.PHONY: interop
interop: ## other projects' SMTP test suites, direct and through kanmon (root)
	cd test/interop && $(GO) test -count=1 -timeout=20m -v . | grep -v '^=== '

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s each)
	@set -eu; for pkg in $$($(GO) list ./internal/...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$pkg; \
		done; \
	done

.PHONY: classify-report
classify-report: ## judge the reply rules on labelled replies: FILE=replies.jsonl [ARGS=-wrong]
	@$(GO) run ./test/classify $(ARGS) $(FILE)

.PHONY: classify-grammar
classify-grammar: ## judge the reply rules on all refusals of the grammar, 82,000 texts in 11 languages
	KANMON_GRAMMAR=full $(GO) test -count=1 -v -run Grammar ./test/classify/grammar

.PHONY: faults
faults: ## the fault tests in full: every cut and kill of the reference sessions, not the sample that test takes
	KANMON_FAULTS=full $(GO) test -count=1 -timeout=80m -v -run 'Fault|Cut|Kill|Model' ./internal/...

.PHONY: attacks
attacks: ## 10,000 random sessions whose connections are attacked: no recipient is named to an MX that has not proved what its domain asks
	KANMON_TRUST=full $(GO) test -count=1 -timeout=30m -v -run TestAttacksOnTLSOfDomainsThatAsk ./internal/session

.PHONY: content
content: ## 100,000 faults over all lanes that content is judged in: no mail lost, doubled, or delivered where it was closed, nothing left over
	KANMON_CONTENT=full $(GO) test -count=1 -timeout=60m -v -run TestFaultsOverAllLanes ./internal/session

.PHONY: truth
truth: ## 12,000 random sessions between ends that log all, and what is on record of them must be what happened (two minutes)
	KANMON_TRUTH=full $(GO) test -count=1 -timeout=20m -v ./test/truth

.PHONY: hostile-texts
hostile-texts: ## 10,000 hostile replies, addresses and header values through record, history, page, table, webhook, mail and terminal: none acts (ten minutes)
	KANMON_HOSTILE=full $(GO) test -count=1 -timeout=60m -run Hostile -v ./test/story ./internal/view/notify | grep -v '^=== '

SIM ?=

.PHONY: timing
timing: ## the timing detector on labelled streams: SIM=folder or program of the simulator (under 15 minutes)
	$(GO) run ./test/timing -sim "$(SIM)" -worlds 4 -for 12m

.PHONY: timing-long
timing-long: ## 400 IP-months without restrictions, and 45 worlds a family with, 40 of each kind: SIM=folder or program of the simulator, SEED=of the first world (two free cores: under 30 minutes)
	$(GO) run ./test/timing -sim "$(SIM)" -seed $(or $(SEED),9001) -families dev-plain,dev-mild,dev-few -worlds 45 -for 25m
	$(GO) run ./test/timing -sim "$(SIM)" -seed $(or $(SEED),9001) -families dev-benign -worlds 100 -for 25m

.PHONY: timing-real
timing-real: setup ## restrictions of one sending IP by real mail servers, and what only looks like them: told or not, how soon, what is moved (root, under 15 minutes; QUICK=1: under one)
	@mkdir -p $(BUILD)
	$(GO) run ./test/restricted -out $(BUILD)/timing-real.md

.PHONY: test-systemd
test-systemd: ## units, package and guide on a booted Debian 12: other programs flush, the configuration breaks, the host boots, upgrade, removal; what the pages have a person type (root, under 10 minutes)
	test/setup/install.sh systemd
	VERSION=1.2.3 ARCHES=$$($(GO) env GOARCH) FORMATS=deb OUT=$(BUILD)/systemd/older packaging/build.sh
	VERSION=1.2.4 ARCHES=$$($(GO) env GOARCH) FORMATS=deb OUT=$(BUILD)/systemd/newer packaging/build.sh
	$(GO) run ./test/systemd -packages $(BUILD)/systemd

.PHONY: tls-parity
tls-parity: ## mail to 80 kinds of MXs by Postfix, which has OpenSSL, and through kanmon: the table of docs/ref/tls.md (root, under 10 minutes; ARGS=-update)
	test/setup/install.sh parity
	KANMON_PARITY=full $(GO) test -count=1 -timeout=10m -v ./test/parity $(ARGS) | grep -v '^=== '

.PHONY: scanners
scanners: ## real Rspamd, clamd, opendkim and python3-milter, stopped, full, killed, and asked (root, under 5 minutes)
	test/setup/install.sh scanners
	$(GO) test -count=1 -timeout=10m -v ./test/scanners | grep -v '^=== '

.PHONY: hang
hang: setup ## logs, databases, the resolver and kanmon's own log hang one after the other, and nobody's mail waits (root, under 15 minutes)
	KANMON_HANG=full $(GO) test -count=1 -timeout=20m -v -run TestNothingThatHangsHoldsMail ./test/netns | grep -v '^=== '

.PHONY: bench
bench: ## speed and memory beside direct, HAProxy and a plain copy, in one run (root, about 20 minutes)
	test/setup/install.sh bench
	$(GO) run ./test/bench -out $(BUILD)/bench.md

.PHONY: cost
cost: ## CPU a message and memory of held sessions beside another kanmon, in one run: BEFORE=program [ARGS=-metrics] (root, about 15 minutes)
	test/setup/install.sh bench
	$(GO) run ./test/bench -parts cost,held -contenders before,kanmon -before $(BEFORE) -senders $(ARGS) -out $(BUILD)/cost.md

.PHONY: history-scale
history-scale: ## 14 days of ATTEMPTS (1000000) each are kept, and what people ask of them is answered in time (an hour, 12 GB; DAYS=14; KEEP=folder: made once, asked again)
	KANMON_HISTORY=$(ATTEMPTS) KANMON_HISTORY_DAYS=$(DAYS) KANMON_HISTORY_KEEP=$(if $(KEEP),$(abspath $(KEEP))) $(GO) test -count=1 -timeout=24h -v -run TestQuestionsAreAnsweredInTime ./test/history | grep -v '^=== '

.PHONY: history-kills
history-kills: ## PostgreSQL, who ships to it and answers to COMMIT are lost KILLS (100) times, and each record is kept once (about 2 minutes)
	KANMON_POSTGRES_KILLS=$(or $(KILLS),100) $(GO) test -count=1 -timeout=20m -v -run TestKilledAtAnyMomentEachRecordIsKeptOnce ./internal/view/history/postgres

.PHONY: gateways
gateways: setup ## kanmon takes over from kanmon under load: 20 upgrades and more, 1,000 reloads, some killed (root, about 20 minutes)
	KANMON_GATEWAYS=full $(GO) test -count=1 -timeout=40m -v -run TestUpgradesUnderLoad ./test/netns

.PHONY: mtas
mtas: ## how fast real MTAs and clients reach the next address, direct and through kanmon (root, under 20 minutes)
	@mkdir -p $(BUILD)
	test/setup/install.sh mtas
	$(GO) run ./test/mtas -out $(BUILD)/mtas.md

.PHONY: hostile
hostile: setup ## one tenant does its worst in 36 ways, and what two honest ones feel, beside a plain copy (root, under 20 minutes; QUICK=1: a minute)
	@mkdir -p $(BUILD)
	$(GO) run ./test/hostile -out $(BUILD)/hostile.md -log $(BUILD)/hostile.log

.PHONY: soak
soak: setup ## mixed load for MINUTES (40) and a look from both ends: nothing lost, doubled, falsely acknowledged, nothing grows (root; QUICK=1: half a minute)
	@mkdir -p $(BUILD)
	$(GO) run ./test/soak -minutes $(MINUTES) -out $(BUILD)/soak.md -log $(BUILD)/soak.log

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)
