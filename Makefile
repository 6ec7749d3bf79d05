# host: make, make demo, make test, make check, make bench, make install
# SANITIZER=address,undefined or SANITIZER=thread builds into a folder of its own.
SANITIZER ?=
BUILD     ?= build$(if $(SANITIZER),/$(subst $(comma),-,$(SANITIZER)))
PREFIX    ?= /usr/local
NAME      ?= host
CC        ?= cc
CFLAGS    ?= -O2 -g
comma     := ,
Q         := $(if $(V),,@)
WARN      := -Wall -Wextra -Wshadow -Werror -Wstrict-prototypes -Wmissing-prototypes
PKGS      := lua5.4 lua5.4-cjson libcurl libcrypto json-c libmicrohttpd
# What the undefined-behaviour sanitizer finds ends the program, as the others' findings do: left at
# its default it only prints, and every test passes.
SAN       := $(if $(SANITIZER),-fsanitize=$(SANITIZER) -fno-sanitize-recover=all -fno-omit-frame-pointer)
cflags     = $(CFLAGS) $(WARN) $(SAN) -std=gnu11 -pthread -D_GNU_SOURCE -MMD -MP -Isrc \
             $(shell pkg-config --cflags $(PKGS)) $(CPPFLAGS)
libs       = $(shell pkg-config --libs $(PKGS)) -lev -lm -pthread

# The rooms in the order in which they may include each other; a test of one room links
# that room and those before it, and nothing later.
ROOMS     := base conf policy net aws vm flow pool ops cli
archive    = $(patsubst %,$(BUILD)/lib%.a,$(1))
upto       = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,99,$(2))))
SHARED    := $(BUILD)/libshared.a
LUA       := $(sort $(wildcard lua/*/*.lua lua/*/*.json lua/*/*.sample))
OWN_TESTS := $(sort $(wildcard tests/unit/*_test.c))
TESTS     := $(OWN_TESTS:tests/unit/%.c=$(BUILD)/unit/%)

all: $(BUILD)/host

$(BUILD)/host: $(BUILD)/main.o $(call archive,$(ROOMS)) $(SHARED)
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $(BUILD)/main.o -Wl,--start-group \
	    $(SHARED) $(call archive,$(ROOMS)) -Wl,--end-group $(libs)

define room
$(BUILD)/lib$(1).a: $(patsubst src/%.c,$(BUILD)/%.o,$(sort $(wildcard src/$(1)/*.c)))
	@rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))

# An archive, so that a test of a room takes only what that room uses of it.
$(SHARED): $(addprefix $(BUILD)/,job.o token.o board.o lua.o)
	@rm -f $@ && ar rcs $@ $^

$(BUILD)/%.o: src/%.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(cflags) -c -o $@ $<

$(BUILD)/lua.S: scripts/embed $(LUA)
	@mkdir -p $(@D)
	$(Q)scripts/embed $(LUA) > $@
$(BUILD)/lua.o: $(BUILD)/lua.S
	$(Q)$(CC) -c -o $@ $<

# tests/unit/ROOM_FILE_test.c
.SECONDEXPANSION:
$(TESTS): $(BUILD)/unit/%: tests/unit/%.c $(SHARED) \
        $$(call archive,$$(call upto,$$(firstword $$(subst _, ,$$*)),$(ROOMS)))
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(cflags) -Itests/unit $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(SHARED) $(filter %.a,$^) -Wl,--end-group -lcmocka $(libs)

build-unit: $(TESTS)

# The simulator: shipped flow/ and policy/ under simulated everything. make sim [SEED=7]
SIM_OBJ  := $(patsubst tests/sim/%.c,$(BUILD)/tests/sim/%.o,$(sort $(wildcard tests/sim/*.c)))
SIM_LINK := -Wl,--wrap=job_free,--wrap=calloc,--wrap=malloc
$(BUILD)/tests/sim/%.o: tests/sim/%.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(cflags) -Itests/sim -c -o $@ $<
$(BUILD)/sim: $(SIM_OBJ) $(BUILD)/job.o $(BUILD)/board.o $(call archive,base policy flow)
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) $(SIM_LINK) -o $@ $(SIM_OBJ) \
	    -Wl,--start-group $(BUILD)/job.o $(BUILD)/board.o $(filter %.a,$^) -Wl,--end-group $(libs)
sim: $(BUILD)/sim
	$< $(if $(SEED),--seed $(SEED),--seeds 20000)

# Parts of the program by hand, for tests on real servers.
$(BUILD)/tools/%: tests/tools/%.c $(SHARED) $(call archive,$(call upto,ops,$(ROOMS)))
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(cflags) $(LDFLAGS) -o $@ $< \
	    -Wl,--start-group $(SHARED) $(filter %.a,$^) -Wl,--end-group $(libs)
tools: $(BUILD)/tools/claims

# What takes long: new seeds of the simulator for so many minutes, and beside it the fault suite's
# storm of 100,000 messages and its outages of a minute, which take an hour.
MINUTES ?= 10
soak:
	scripts/run-tests soak $(BUILD) $(MINUTES)

# The test of the tests: mutants that a named check of the simulator must catch.
mutants: $(BUILD)/sim
	python3 tests/sim/mutants/named.py --build $(BUILD)
# And by mechanical ones: negated conditions, off by one, dropped calls. make mutate [FILE=flow/settle.c]
mutate: $(BUILD)/sim
	nice -n 15 python3 tests/sim/mutants/mechanical.py --build $(BUILD) $(if $(FILE),--file $(FILE))

# How to build by hand, a line each: compiler, flags to compile, flags to link, libraries, the archive
# of what belongs to no room.
flags:
	@echo '$(CC)'; echo '$(cflags)'; echo '$(CFLAGS) $(SAN) $(LDFLAGS)'; echo '$(libs)'; echo '$(SHARED)'

check: all
	scripts/run-tests check $(BUILD)

test:
	scripts/run-tests all $(BUILD)

demo:
	scripts/demo

bench: all
	scripts/bench

# No tuning against fixed limits, on a real Keycloak: the settings are at the top of the script.
bench-steer: all
	HOST_BIN=$(abspath $(BUILD)/host) scripts/bench-steer

# How it scales with a burst of 50,000, as a chart: build/bench-burst/burst.svg.
bench-burst: all
	BUILD=$(BUILD) scripts/bench-burst

# Memory and time of so many remembered keys. make bench-keys [KEYS=10000000]
KEYS ?= 10000000
$(BUILD)/bench-keys: tests/bench/keys.c $(call archive,base policy)
	$(Q)$(CC) $(cflags) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs)
bench-keys: $(BUILD)/bench-keys
	$< $(KEYS)

format:
	clang-format -i $$(git ls-files 'src/*.[ch]' 'tests/*.[ch]')

# Manual pages and completions are made by the program that they are about.
share := $(DESTDIR)$(PREFIX)/share
install: all
	install -Dm755 $(BUILD)/host $(DESTDIR)$(PREFIX)/bin/$(NAME)
	install -d $(share)/man/man1 $(share)/man/man7 $(share)/bash-completion/completions \
	    $(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	$(BUILD)/host man host > $(share)/man/man1/$(NAME).1
	$(BUILD)/host man host-handler > $(share)/man/man7/$(NAME)-handler.7
	$(BUILD)/host completion bash --name $(NAME) > $(share)/bash-completion/completions/$(NAME)
	$(BUILD)/host completion zsh --name $(NAME) > $(share)/zsh/site-functions/_$(NAME)
	$(BUILD)/host completion fish --name $(NAME) > $(share)/fish/vendor_completions.d/$(NAME).fish

clean:
	rm -rf $(BUILD)

.PHONY: all build-unit sim tools soak mutants mutate flags check test demo bench bench-steer bench-burst bench-keys format install clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
