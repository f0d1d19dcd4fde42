# worker_pool: build with PGXS. This file is the truth for packagers; CMakeLists.txt asks it for its flags.
#
#   make [PG_CONFIG=...]          build              make FAULTS=1            with fault points, for tests
#   make install                  install            make SANITIZE=undefined  with UBSan (or =address)
#   make installcheck             run the tests      make WERROR=             let warnings be warnings
#                                 on a running server that preloads worker_pool (scripts/test starts its own)
#
# A build in another folder, which leaves this one untouched: make -f /path/to/Makefile

MODULE_big = worker_pool
EXTENSION = worker_pool
PGFILEDESC = "worker_pool - one bounded, supervised pool of background workers"

# Where this Makefile stands. PGXS finds the same, but only when it is included, and the lists below are
# needed before that.
here := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
in_here = $(patsubst $(here)/%,%,$(wildcard $(addprefix $(here)/,$(1))))

OBJS = $(patsubst %.cpp,%.o,$(sort $(call in_here,src/*/*.cpp src/*.cpp)))
DATA = $(sort $(call in_here,worker_pool--*.sql))
# The public interface: found by another extension as <extension/worker_pool/...> or, with
# -I$(pg_config --includedir-server)/extension, as <worker_pool/...>.
HEADERS = $(sort $(call in_here,include/worker_pool/*.h include/worker_pool/*.hpp))

PG_CONFIG ?= pg_config

# --- flags ---------------------------------------------------------------------------------------------

WERROR = -Werror
FAULTS =
SANITIZE =

ours = -I$(here)/src -I$(here)/include
ifneq (,$(filter-out 0 no,$(FAULTS)))
ours += -DWORKER_POOL_FAULTS
endif

# -isystem: the server's headers use `register` up to 15, an error in C++17, and are full of unused
# parameters. A folder named by both -I and -isystem counts as a system folder, whatever the order.
PG_CPPFLAGS = $(ours) -isystem $(shell $(PG_CONFIG) --includedir-server)

# -Wno-register: `register` also comes out of the headers' macros.
PG_CXXFLAGS = -std=c++17 -Wall -Wextra $(WERROR) -Wno-register

ifeq ($(SANITIZE),undefined)
# vptr needs the C++ runtime's type information in the server itself.
PG_CXXFLAGS += -fsanitize=undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SANITIZE),address)
PG_CXXFLAGS += -fsanitize=address -fno-omit-frame-pointer
else ifneq ($(SANITIZE),)
$(error SANITIZE is "$(SANITIZE)": it can be undefined or address)
endif

# The server's flags are gcc's; clang does not know them all and -Werror would make an error of it. Asked
# when it is used: only PGXS tells which compiler CXX is.
PG_CXXFLAGS += $(if $(findstring clang,$(shell $(CXX) --version)),-Wno-unknown-warning-option)

# Linked by the C++ compiler: PGXS would take the C compiler and miss libstdc++.
override COMPILER = $(CXX) $(CXXFLAGS)
# PGXS gives the bitcode step no C++ flags, and inlining gains a process manager nothing.
override with_llvm := no

# --- tests ---------------------------------------------------------------------------------------------

# Assigned at once (:=), so that PGXS, which asks ifdef, leaves out what has no tests.
ifneq (,$(wildcard $(here)/test/schedule))
# Not empty, so that PGXS runs pg_regress; expands to nothing, because the schedule names the tests.
REGRESS = $(empty)
REGRESS_OPTS = --schedule=$(here)/test/schedule
else
REGRESS := $(patsubst sql/%.sql,%,$(sort $(call in_here,sql/*.sql)))
endif

ISOLATION := $(patsubst test/isolation/specs/%.spec,%,$(sort $(call in_here,test/isolation/specs/*.spec)))
# The last --inputdir counts; PGXS itself passes the source folder.
ISOLATION_OPTS = --inputdir=$(here)/test/isolation

# These need a build with FAULTS=1.
PROVE_TESTS := $(sort $(call in_here,test/tap/*.pl))
ifneq (,$(PROVE_TESTS))
TAP_TESTS = 1
endif

EXTRA_CLEAN = $(OBJS:.o=.d) build-flags

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error "$(PG_CONFIG) --pgxs" gives nothing: install the server's development files, or set PG_CONFIG)
endif
include $(PGXS)

# PGXS runs prove in the source folder, and sets this one itself.
PROVE_FLAGS += -I test/tap

# --- rules ---------------------------------------------------------------------------------------------

# Every object also depends on the flags it was built with, so `make` and then `make FAULTS=1`, or one for
# another server, never leave a mixture.
all_flags = $(CXX) $(CXXFLAGS) $(CPPFLAGS) $(PGXS)

ifneq "$(file <build-flags)" "$(strip $(all_flags))"
build-flags: FORCE
endif
build-flags:
	@printf '%s\n' '$(subst ','\'',$(strip $(all_flags)))' > $@

$(OBJS): %.o: $(here)/%.cpp build-flags
	@$(MKDIR_P) $(@D)
	$(CXX) $(CXXFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d)

# What CMakeLists.txt and scripts/matrix ask: make -s print-CXXFLAGS
print-%:
	@printf '%s\n' '$(subst ','\'',$($*))'

.PHONY: FORCE
FORCE:
