# make demo    the tutorial's word count on a real Kafka and a real HDFS, started by itself; ARCHIVE=local,
#              KILL=1; TESTBED_OFFSET=N adds N to every port
# make check   format, licences, lints, pure tests (searches as far as 22 steps), the house's rules
# make test    every test, real servers included; prints what each step took
# make bench   the whole daemon on 5 million lines; RECORDS=… RUNS=arrival|record|columns
# make bench-memory  memory, threads and idle CPU with 1 to 1,000 partitions, against the budget
# make crashes every named step of the protocol: killed there, and stopped there until replaced
# make chaos   random incidents on real servers; MINUTES=10 SEED=7; SECURE=1: servers with Kerberos,
#              TLS, access lists and two NameNodes (make crashes SECURE=1 too)
# make deb     a Debian package, and a second one with its symbols, in target/debian; make tarball, the same for
#              other distributions; make package-test tries both in a clean Debian tree
# make docs    the manual, in target/manual, with every link in it checked
# make prove   what takes longer than `make test` may, some hours; writes docs/proof.md; ONLY="search chaos"
# make fuzz    every decoder of what others may have written, MINUTES=15 in all; ONLY="entry field"
# make oldest  some scenarios on other versions of the servers: KAFKA=3.1.2 HADOOP=2.10.2
# make old-cpu what reads and writes bytes, on an emulated CPU of 2006
# make search  the largest of the exhaustive searches (minutes)
#
# Each installs what is missing (Debian packages, jars from Maven Central) and says so.
.PHONY: demo check test oldest old-cpu bench bench-memory chaos crashes fuzz search prove docs setup python browser manual build lint clean deb tarball package-test

# Named by `alluvium --version`.
export ALLUVIUM_COMMIT ?= $(shell git describe --always --dirty --abbrev=12 2>/dev/null)

# One profile for everything: what is tested is what runs, and dependencies are built once.
CARGO = cargo
PROFILE = --release
CACHE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/alluvium
CARGO_DEB = $(CACHE)/cargo-deb/bin/cargo-deb

# What it will take is said first.
demo:
	@testbed/demo --before
	@$(MAKE) --no-print-directory setup python build
	testbed/demo

check test:
	@CARGO="$(CARGO)" testbed/steps $@

bench: setup
	$(CARGO) bench --bench end_to_end

# Its variables: benches/memory.rs.
bench-memory: setup
	$(CARGO) bench --bench memory

chaos: setup
	MINUTES=$(MINUTES) SEED=$(SEED) SECURE=$(SECURE) $(CARGO) test $(PROFILE) --test it chaos

# Writes the table in docs/crashes.md anew.
crashes: setup
	ALLUVIUM_TABLE=$(if $(SECURE),,1) SECURE=$(SECURE) $(CARGO) test $(PROFILE) --test it crashes

# The scenarios that need nothing of newer servers, on other versions of them.
OLDEST = the_tutorial_by join_stop_and_kill every_byte_of_every hdfs_goes_away roots_that_were_wiped \
	one_count retention_that_overtook an_offset_that_was_moved
oldest: setup
	for name in $(OLDEST); do TESTBED_KAFKA=$(KAFKA) TESTBED_HADOOP=$(HADOOP) $(CARGO) test $(PROFILE) --test it $$name || exit 1; done

# What reads and writes bytes, on the first 64-bit CPU of this name, which knows nothing later than SSSE3.
old-cpu: setup
	testbed/setup cpu
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu Conroe" $(CARGO) test $(PROFILE) --lib -- encode formats layout

fuzz: setup
	MINUTES=$(MINUTES) ONLY="$(ONLY)" CARGO="$(CARGO)" testbed/fuzz

search:
	ALLUVIUM_SEARCH=full $(CARGO) test $(PROFILE) --lib search -- --nocapture

prove: setup python
	testbed/prove

docs: manual
	testbed/manual

# Unit, user, man pages, completions, rules and dashboard beside the program.
# BUILT=yes packs the program that is there: the one that the tests have run.
deb: setup $(if $(BUILT),,build)
	@testbed/setup deb
	rm -rf target/package && target/release/alluvium generate package target/package
	$(CARGO_DEB) --no-build --dbgsym --compress-debug-symbols=zlib $(if $(BUILT),--fast)

# For distributions that take no Debian package; BUILT=yes as for deb.
tarball: setup $(if $(BUILT),,build)
	@testbed/setup deb
	packaging/tarball

# Installed, started, upgraded and removed in a Debian tree that has nothing else.
package-test: deb tarball
	packaging/test

setup:
	@testbed/setup

python browser manual:
	@testbed/setup $@

build:
	$(CARGO) build $(PROFILE)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings

clean:
	$(CARGO) clean
