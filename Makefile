# Sekisho.  ./configure first; everything made is under build/.

ifeq ($(wildcard build/config.mk),)
ifneq ($(MAKECMDGOALS),clean)
$(error run ./configure first (./configure --install-deps installs what is missing))
endif
endif
-include build/config.mk

MAKEFLAGS += --no-builtin-rules
# make V=1 shows the commands.
Q = $(if $(V),,@echo "  $@" &&)
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

VERSION  := $(shell sed -n '1,/^\#\# /s/^\#\# //p' CHANGELOG.md | sed 's/ .*//')

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wformat=2 -Wconversion \
            -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings
HARDENING := -fstack-protector-strong -fPIC -fvisibility=hidden
ifeq ($(shell uname -m),x86_64)
HARDENING += -fcf-protection
endif
CFLAGS   = -std=gnu11 -O2 -g $(WARNINGS) $(HARDENING) $(CONFIGURED_CFLAGS) \
           -DSEKISHO_VERSION='"$(VERSION)"'
FORTIFY  := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-clash-protection
LDFLAGS  = -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed \
           $(CONFIGURED_LDFLAGS)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer
LIBS     = $(CRYPTO_LIBS)

ifeq ($(SANITIZERS),yes)
FORTIFY  := $(SANITIZE)
LDFLAGS  += $(SANITIZE)
endif

lib_sources    := $(sort $(wildcard lib/*/*.c))
tool_sources   := $(sort $(wildcard tools/*.c))
daemon_sources := $(sort $(wildcard daemon/*.c))
pam_sources    := $(sort $(wildcard pam/*.c))
module_sources := $(sort $(wildcard modules/*/*.c))
unit_tests     := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
fuzz_targets   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
bench_programs := $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/bench_*.c))
man_pages      := $(patsubst docs/man/%.scd,build/man/%,$(wildcard docs/man/*.scd))

.PHONY: all check demo bench fuzz fault format format-check clang-warnings lint \
        install clean tests man

all: build/bin/sekisho build/bin/sekishod build/lib/ngx_http_sekisho_module.so \
     build/lib/pam_sekisho.so man

# ---- The library, in three flavours: for use, for sanitizers, for fuzzing --

build/obj/%.o: %.c build/config.mk Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(FORTIFY) -MMD -MP -c -o $@ $<

build/sanitize/%.o: %.c build/config.mk Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

build/fuzz/%.o: %.c build/config.mk Makefile
	@mkdir -p $(@D)
	$(Q)clang $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

define library
build/$(1)/libsekisho.a: $(lib_sources:%.c=build/$(1)/%.o)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(eval $(call library,obj))
$(eval $(call library,sanitize))
$(eval $(call library,fuzz))

# ---- Programs ---------------------------------------------------------------

# `sekisho audit report` carries its page, its texts and Chart.js in itself.
report_objects := $(addsuffix /tools/report_files.o,build/obj build/sanitize \
                                                    build/clang)
$(report_objects): $(wildcard tools/report/*) $(CHART_JS)
$(report_objects): CFLAGS += $(if $(CHART_JS),-DREPORT_CHARTS='"$(CHART_JS)"')

# `sekisho audit evidence` carries what an auditor's archive needs.
evidence_objects := $(addsuffix /tools/audit_evidence_files.o,build/obj \
                                           build/sanitize build/clang)
$(evidence_objects): $(wildcard tools/evidence/*)

build/bin/sekisho: $(tool_sources:%.c=build/obj/%.o) build/obj/libsekisho.a
	@mkdir -p $(@D)
	$(Q)$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS) $(MAXMIND_LIBS) $(OATH_LIBS) $(QR_LIBS) \
	    $(XML_LIBS) -lcrypt

build/sanitize/bin/sekisho: $(tool_sources:%.c=build/sanitize/%.o) \
                            build/sanitize/libsekisho.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) -o $@ $^ $(LIBS) $(MAXMIND_LIBS) $(OATH_LIBS) $(QR_LIBS) \
	    $(XML_LIBS) -lcrypt

# libxml2's headers are system headers, for the one file that reads XML.
%/tools/otp_import_pskc.o: CFLAGS += $(XML_INCLUDES)

build/bin/sekishod: $(daemon_sources:%.c=build/obj/%.o) build/obj/libsekisho.a
	@mkdir -p $(@D)
	$(CC) -pie $(LDFLAGS) -o $@ $^ $(LIBS) $(EVENT_LIBS) $(MAXMIND_LIBS) \
	    $(OATH_LIBS) $(QR_LIBS)

build/sanitize/bin/sekishod: $(daemon_sources:%.c=build/sanitize/%.o) \
                             build/sanitize/libsekisho.a
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS) $(EVENT_LIBS) $(MAXMIND_LIBS) \
	    $(OATH_LIBS) $(QR_LIBS)

# ---- The nginx module -------------------------------------------------------
#
# nginx's configure says how that nginx was built (ngx_auto_config.h) and in
# which order our modules go; we compile with our own warnings, its headers
# being system headers.

build/nginx/ngx_auto_config.h: modules/config $(wildcard modules/*/config) \
                               build/config.mk
	@rm -rf build/nginx && mkdir -p build/nginx
	cd $(NGINX_SOURCE) && NGX_MODULES_ONLY=1 bash -c '\
	    if [ -f ./conf_flags ]; then . ./conf_flags; else \
	        NGX_CONF_FLAGS=(--with-compat --with-http_ssl_module \
	            --with-http_v2_module --with-http_realip_module \
	            --with-http_auth_request_module $(NGINX_CONFIGURE_FLAGS)); \
	    fi; \
	    $$(test -x ./configure && echo ./configure || echo ./auto/configure) \
	        "$${NGX_CONF_FLAGS[@]}" --with-cc=$(CC) \
	        --add-dynamic-module=$(CURDIR)/modules \
	        --builddir=$(CURDIR)/build/nginx' > $(CURDIR)/build/nginx.log 2>&1 \
	    || { tail -n 20 build/nginx.log; exit 1; }

build/nginx/ngx_http_sekisho_module_modules.c: build/nginx/ngx_auto_config.h ;

NGINX_INCLUDES = $(addprefix -isystem $(NGINX_SOURCE)/src/,core event \
    event/modules event/quic os/unix http http/modules http/v2 http/v3) \
    -isystem build/nginx

# nginx's prototypes take literals as char *, and handlers more than they need.
NGINX_WARNINGS := -Wno-write-strings -Wno-unused-parameter

build/obj/modules/%.o: modules/%.c build/nginx/ngx_auto_config.h Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(NGINX_WARNINGS) $(FORTIFY) $(NGINX_INCLUDES) -MMD -MP \
	    -c -o $@ $<

build/obj/nginx_modules.o: build/nginx/ngx_http_sekisho_module_modules.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g -fPIC $(FORTIFY) $(NGINX_INCLUDES) -c -o $@ $<

build/lib/ngx_http_sekisho_module.so: build/obj/nginx_modules.o \
        $(module_sources:%.c=build/obj/%.o) build/obj/libsekisho.a \
        modules/exports.map
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,--version-script=modules/exports.map -o $@ \
	    $(filter %.o %.a,$^) $(LIBS) $(MAXMIND_LIBS)

# ---- The PAM module ---------------------------------------------------------
#
# Runs inside sshd and greeters: nothing heavy may come with it, so it takes
# from the library what it calls and no more, and links libpam and libcrypt.

build/lib/pam_sekisho.so: $(pam_sources:%.c=build/obj/%.o) \
                          build/obj/libsekisho.a pam/exports.map
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,--gc-sections -Wl,-z,defs \
	    -Wl,--version-script=pam/exports.map -o $@ $(filter %.o %.a,$^) \
	    -lpam -lcrypt

# For the tests that run with sanitizers: their runtime is the program's.
build/sanitize/lib/pam_sekisho.so: $(pam_sources:%.c=build/sanitize/%.o) \
                                   build/sanitize/libsekisho.a pam/exports.map
	@mkdir -p $(@D)
	$(Q)$(CC) -shared $(SANITIZE) -Wl,--version-script=pam/exports.map -o $@ \
	    $(filter %.o %.a,$^) -lpam -lcrypt

# ---- Man pages --------------------------------------------------------------

man: $(man_pages)
build/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	@if command -v scdoc >/dev/null; then scdoc < $< > $@; \
	    else echo "man page $* not made: scdoc is missing"; fi

# ---- Tests ------------------------------------------------------------------

build/obj/tests/unit/test_%: build/obj/tests/unit/test_%.o build/obj/libsekisho.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(MAXMIND_LIBS) $(OATH_LIBS) $(QR_LIBS) \
	    -lcrypt -lcmocka
build/sanitize/tests/unit/test_%: build/sanitize/tests/unit/test_%.o \
                                  build/sanitize/libsekisho.a
	$(Q)$(CC) $(SANITIZE) -o $@ $^ $(LIBS) $(MAXMIND_LIBS) $(OATH_LIBS) $(QR_LIBS) \
	    -lcrypt -lcmocka

build/obj/tests/unit/test_pam_%: build/obj/tests/unit/test_pam_%.o \
                                 build/obj/libsekisho.a build/lib/pam_sekisho.so
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -lpam -lcrypt -lcmocka -ldl
build/sanitize/tests/unit/test_pam_%: build/sanitize/tests/unit/test_pam_%.o \
                                      build/sanitize/libsekisho.a \
                                      build/sanitize/lib/pam_sekisho.so \
                                      build/lib/pam_sekisho.so
	$(Q)$(CC) $(SANITIZE) -o $@ $(filter %.o %.a,$^) -lpam -lcrypt -lcmocka -ldl

# libpam is the fuzzer's own, and these functions of libc go through it.
pam_wrapped := malloc calloc realloc strdup strndup open openat mkdirat fstat \
               read close fork geteuid time localtime_r clock_gettime getrandom \
               socket connect send recv poll emergency_use
build/fuzz/fuzz_pam: build/fuzz/tests/fuzz/fuzz_pam.o \
                     $(pam_sources:%.c=build/fuzz/%.o) build/fuzz/libsekisho.a
	$(Q)clang $(SANITIZE) -fsanitize=fuzzer $(pam_wrapped:%=-Wl,--wrap=%) \
	    -o $@ $^ -lcrypt

build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libsekisho.a
	$(Q)clang $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(LIBS) $(OATH_LIBS) $(QR_LIBS) -lcrypt

tests: all $(unit_tests:%=build/obj/tests/unit/%) \
       $(unit_tests:%=build/sanitize/tests/unit/%) \
       $(fuzz_targets:%=build/fuzz/%) build/sanitize/bin/sekisho \
       build/sanitize/bin/sekishod

check: tests
	@$(PYTHON) tests/run.py check

fault: tests
	@$(PYTHON) tests/run.py fault

# Ten minutes a target; make fuzz SECONDS=60 for less.
SECONDS ?= 600
fuzz: $(fuzz_targets:%=build/fuzz/%)
	@$(PYTHON) tests/run.py fuzz --seconds $(SECONDS)

build/bench/%: build/obj/tests/bench/%.o build/obj/libsekisho.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) \
	    $(MAXMIND_LIBS) $(OATH_LIBS) -lcrypt

bench: all $(bench_programs:%=build/bench/%)
	@$(PYTHON) tests/bench/bench.py
	@$(PYTHON) tests/bench/bench_otp_daemon.py 10
	@$(PYTHON) tests/bench/bench_pam.py || test $$? -eq 77
	@$(PYTHON) tests/bench/learn.py

demo: all
	@tests/demo/demo.sh

# ---- Upkeep -----------------------------------------------------------------

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
# Versions of clang-format disagree with each other; ours is Debian 12's.
format-check:
	@case "$$(clang-format --version)" in \
	*" 14."*) clang-format --dry-run --Werror \
	    $$(git ls-files '*.c' '*.h') ;; \
	*) echo "format not checked: that takes clang-format 14" ;; \
	esac

# clang must be as content as gcc.
clang-warnings: $(lib_sources:%.c=build/clang/%.o) \
                $(tool_sources:%.c=build/clang/%.o) \
                $(daemon_sources:%.c=build/clang/%.o) \
                $(pam_sources:%.c=build/clang/%.o) \
                $(module_sources:%.c=build/clang/%.o)
build/clang/modules/%.o: modules/%.c build/nginx/ngx_auto_config.h Makefile
	@mkdir -p $(@D)
	@clang $(CFLAGS) $(NGINX_WARNINGS) $(NGINX_INCLUDES) -MMD -MP -c -o $@ $<
build/clang/%.o: %.c Makefile
	@mkdir -p $(@D)
	@clang $(CFLAGS) -MMD -MP -c -o $@ $<

lint: format-check
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
	    --enable=warning,performance,portability \
	    --suppressions-list=tests/cppcheck.txt lib tools daemon pam
	shellcheck configure .ci/run $$(git ls-files '*.sh')

# Nothing is written outside $(DESTDIR).  The units name the daemon where it is
# put; users and folders are made by systemd-sysusers and systemd-tmpfiles.
SYSTEMD_PREFIX ?= $(PREFIX)/lib
docs := README.md CHANGELOG.md LICENSE $(wildcard docs/*.md docs/ja/*.md \
        docs/*.png docs/ja/*.png)
examples := $(wildcard conf-examples/*.conf conf-examples/nginx/*.conf \
            conf-examples/pam.d/* conf-examples/sshd/* conf-examples/lnav/*)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 build/bin/sekisho $(DESTDIR)$(PREFIX)/bin/
	install -d $(DESTDIR)$(PREFIX)/sbin
	install -m 755 build/bin/sekishod $(DESTDIR)$(PREFIX)/sbin/
	install -d $(DESTDIR)$(PREFIX)/lib/nginx/modules
	install -m 644 build/lib/ngx_http_sekisho_module.so \
	    $(DESTDIR)$(PREFIX)/lib/nginx/modules/
	install -d $(DESTDIR)$(PREFIX)/lib/security
	install -m 644 build/lib/pam_sekisho.so $(DESTDIR)$(PREFIX)/lib/security/
	for page in $(man_pages); do \
	    test -f $$page || continue; section=$${page##*.}; \
	    install -d $(DESTDIR)$(PREFIX)/share/man/man$$section; \
	    install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$$section/; \
	done
	install -d $(DESTDIR)$(SYSTEMD_PREFIX)/systemd/system
	for unit in sekishod.service sekishod.socket; do \
	    sed 's|/usr/sbin/sekishod|$(PREFIX)/sbin/sekishod|' \
	        conf-examples/systemd/$$unit > build/$$unit; \
	    install -m 644 build/$$unit \
	        $(DESTDIR)$(SYSTEMD_PREFIX)/systemd/system/; \
	done
	for kind in sysusers tmpfiles; do \
	    install -d $(DESTDIR)$(SYSTEMD_PREFIX)/$$kind.d; \
	    install -m 644 conf-examples/systemd/$$kind.conf \
	        $(DESTDIR)$(SYSTEMD_PREFIX)/$$kind.d/sekisho.conf; \
	done
	for file in $(docs) $(examples); do \
	    folder=$(DESTDIR)$(PREFIX)/share/doc/sekisho/$$(dirname $$file); \
	    install -d $$folder; install -m 644 $$file $$folder/; \
	done

clean:
	rm -rf build

-include tests/bench/bench.mk
-include tests/data/trail.mk
-include $(shell find build -name '*.d' 2>/dev/null)
