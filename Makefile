# csnap: `make run` shows it, `make test` proves it; both install what they lack (Debian packages).
BIN := .build/release
SWIFT := swift

.PHONY: run build test unit process tsan fuzz lint embedded check format scenarios canary failpoints late-writes audit flood leaks kills soak-scenarios soak-snapshots sim data-sim store-sim damage mutants ext4 containers bench-failover bench-loss bench-idle bench-nbd bench-data install clean

run: build
	$(BIN)/csnapctl sandbox --scenario outline

# Across modules the compiler specializes generics and inlines: see docs/decisions/0092-optimized-across-modules.md.
build:
	scripts/setup build
	$(SWIFT) build -c release -Xswiftc -cross-module-optimization --explicit-target-dependency-import-check error

# The stages in order, with their seconds in a table at the end; the first that fails ends it.
test:
	scripts/setup test
	@MAKE='$(MAKE)' scripts/stages lint build embedded unit process sim data-sim store-sim mutants scenarios canary \
	    'failpoints LONG=rotate' audit 'flood LONG=3' 'leaks LONG="40 50"' 'kills LONG=15' ext4 containers

LONG ?=

# Rules, codecs and the pure targets, many at once.
unit:
	$(SWIFT) test --skip 'Container|CsnapRuntimeTests|CsnapSandboxTests'

# Real sockets, disks and processes: one after another, so that none waits for another's threads while its time runs.
process:
	$(SWIFT) test --no-parallel --filter 'CsnapRuntimeTests|CsnapSandboxTests'

# The protocol in a simulated world: other seeds with `make sim SEEDS=1..20000`.
SEEDS ?= 1..400
sim: build
	$(BIN)/csnap-sim run --seeds $(SEEDS) --jobs 2

# The snapshot path in a simulated world: other seeds with `make data-sim DATA_SEEDS=1..20000`.
DATA_SEEDS ?= 1..400
data-sim: build
	$(BIN)/csnap-sim data --seeds $(DATA_SEEDS) --jobs 2

# The snapshot store on simulated disks; ten thousand longer sequences besides with `make store-sim RANDOM_IMAGES=10000`.
RANDOM_IMAGES ?= 100
store-sim: build
	$(BIN)/csnap-sim store --random $(RANDOM_IMAGES) --jobs 2

# Every byte of two stores changed in three ways, and a repair after every 31st: half an hour.
damage: build
	$(BIN)/csnap-sim store --only flippedBytes --flips 1 --jobs 2
	$(BIN)/csnap-sim store --only repairedBytes --repairs 31 --jobs 2

# Each rule removed once, in a build of its own; each removal must be caught: agreement, data path, store.
mutants:
	CSNAP_MUTANTS=1 $(SWIFT) build -c release --scratch-path .build-mutants --product csnap-sim
	.build-mutants/release/csnap-sim mutants --jobs 2

# Every decoder against made-up bytes, for 10 s or LONG each.
fuzz:
	for program in core runtime; do CSNAP_FUZZ=1 $(SWIFT) build -c release --scratch-path .build-fuzz \
	    --product csnap-fuzz-$$program -Xswiftc -sanitize=fuzzer -Xlinker --allow-multiple-definition || exit 1; done
	scripts/fuzz .build-fuzz/release $(LONG)

# Shell and process tests with the thread sanitizer, suite by suite, or those that LONG matches.
tsan:
	scripts/tsan $(LONG)

# Every sandbox scenario once in `fast`, the main ones in `lan` too.
scenarios: build
	scripts/scenarios $(BIN)

# The sandbox must notice two servers at once.
canary: build
	CSNAP_MUTANTS=1 $(SWIFT) build -c release --scratch-path .build-mutants --product csnap-server
	scripts/canary $(BIN) .build-mutants/release/csnap-server

# Each durable step of a server fails in every way, in the mutants' build; all of them, or with LONG=rotate a tenth.
failpoints:
	CSNAP_MUTANTS=1 $(SWIFT) build -c release --scratch-path .build-mutants
	scripts/failpoints .build-mutants/release $(LONG)

# Every kind of write to the store lands when its dead writer's successor has worked for 10 s, or LONG; needs root.
late-writes:
	CSNAP_TEST_HELD_SECONDS=$(or $(LONG),10) $(SWIFT) test --filter LateStoreWriteTests

# Nothing is opened, resolved or started on the fail-over path but what docs/testing.md lists.
audit: build
	scripts/audit-failover $(BIN)

# Bad input at the wire, for 60 s or LONG; needs root.
flood: build
	scripts/flood $(BIN) $(LONG)

# A thousand fail-overs, or LONG: descriptors, threads and memory of the processes that live on.
leaks: build
	scripts/leaks $(BIN) $(LONG)

# Two hundred random kill -9, or LONG: nothing that was acknowledged may be lost.
kills: build
	scripts/kills $(BIN) $(LONG)

# Every scenario in both profiles.
soak-scenarios: build
	scripts/scenarios --all $(BIN)

# Two hundred snapshots made and deleted under load, while twenty servers die; or LONG seconds of it.
soak-snapshots: build
	scripts/soak-snapshots $(BIN) $(LONG)

# The pure targets for a machine without an operating system.
embedded:
	scripts/embedded

# ext4 on the origin, its snapshots mounted on other nodes; needs root.
ext4: build
	scripts/ext4-snapshots $(BIN)

# Three containers with systemd as PID 1; needs root.
containers:
	$(SWIFT) test --filter 'Container'

bench-failover: build
	scripts/bench-failover $(BIN)

bench-idle: build
	scripts/bench-idle $(BIN)

bench-nbd: build
	scripts/setup test
	scripts/bench-nbd $(BIN)

# Snapshots' speed beside other NBD servers; takes a quarter of an hour.
bench-data: build
	scripts/setup test
	scripts/bench-data $(BIN)

bench-loss: build
	scripts/bench-loss $(BIN)

lint:
	$(SWIFT) format lint --strict --parallel --recursive Sources Tests Package.swift

check: format lint

format:
	$(SWIFT) format --in-place --recursive Sources Tests Package.swift

# `make install DESTDIR=/tmp/root` for packages; with another PREFIX the units name the programs there.
# The Swift run-time libraries go with the programs: the machines that run them need no Swift.
DESTDIR ?=
PREFIX ?= /usr
ROOT := $(DESTDIR)$(PREFIX)
DAEMONS := $(addprefix $(BIN)/,csnap-agent csnap-server csnap-client)
install:
	install -d $(ROOT)/sbin $(ROOT)/bin $(ROOT)/lib/csnap $(ROOT)/lib/systemd/system $(ROOT)/lib/systemd/system-preset \
	    $(ROOT)/lib/systemd/catalog $(ROOT)/lib/sysusers.d $(ROOT)/lib/tmpfiles.d \
	    $(ROOT)/share/man/man1 $(ROOT)/share/man/man5 $(ROOT)/share/man/man8
	install -m 0755 $(DAEMONS) $(ROOT)/sbin
	install -m 0755 $(BIN)/csnapctl $(ROOT)/bin
	runtime=$$(ldd $(BIN)/csnap-agent | sed -n 's|.* => \(/.*/\)libswiftCore\.so .*|\1|p') && \
	    ldd $(DAEMONS) $(BIN)/csnapctl | sed -n "s|.* => \($$runtime[^ ]*\) .*|\1|p" | sort -u | \
	    xargs install -m 0644 -t $(ROOT)/lib/csnap
	for unit in units/*.service units/*.timer; do \
	    sed 's|^\(Exec[A-Za-z]*=.*\)/usr/\(s*bin\)/csnap|\1$(PREFIX)/\2/csnap|' $$unit >$(ROOT)/lib/systemd/system/$${unit##*/} && \
	    chmod 0644 $(ROOT)/lib/systemd/system/$${unit##*/} || exit 1; done
	install -m 0644 units/csnap.preset $(ROOT)/lib/systemd/system-preset/80-csnap.preset
	install -m 0644 units/csnap.catalog $(ROOT)/lib/systemd/catalog/csnap.catalog
	install -m 0644 units/csnap.sysusers $(ROOT)/lib/sysusers.d/csnap.conf
	install -m 0644 units/csnap.tmpfiles $(ROOT)/lib/tmpfiles.d/csnap.conf
	install -d $(ROOT)/share/bash-completion/completions $(ROOT)/share/zsh/site-functions \
	    $(ROOT)/share/fish/vendor_completions.d
	$(BIN)/csnapctl completion bash >$(ROOT)/share/bash-completion/completions/csnapctl
	$(BIN)/csnapctl completion zsh >$(ROOT)/share/zsh/site-functions/_csnapctl
	$(BIN)/csnapctl completion fish >$(ROOT)/share/fish/vendor_completions.d/csnapctl.fish
	install -m 0644 docs/man/*.1 $(ROOT)/share/man/man1
	install -m 0644 docs/man/*.5 $(ROOT)/share/man/man5
	install -m 0644 docs/man/*.8 $(ROOT)/share/man/man8

clean:
	rm -rf .build .build-mutants .build-fuzz .build-tsan
