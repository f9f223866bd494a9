#!/bin/sh
# Builds nginx, with our modules linked in, under AddressSanitizer and
# UndefinedBehaviorSanitizer, and prints the path of the program:
#
#   SEKISHO_NGINX=$(tests/sanitized-nginx.sh) SEKISHO_MODULE= \
#       /usr/bin/python3 -m pytest tests/integration -k 'gate or matrix'
#
# nginx is that of the installed Debian package (tests/nginx-source.sh), built
# once; our own objects are made again when they change.  Exit status 77 and one
# line on standard error if the source or a compiler with sanitizers cannot be
# had, 1 if what is there does not build.
#
# Our objects get every check.  nginx's own do without the two that it breaks
# on purpose, in every run, and no other (seen with nginx 1.22.1 by letting it
# recover, over static files, proxying, TLS, HTTP/2, realip, auth_request):
#   nonnull-attribute   memcpy(dst, NULL, 0) for an empty string (ngx_pstrdup)
#   alignment           the integers of HTTP/2 frames, at any address
#
# The first finding ends the worker by SIGABRT, which the master logs as an
# [alert]; its report is in error.log too.  Leaks are looked for when a worker
# or a master ends (`nginx -t` and a failed start just leave their memory), but
# for the one of nginx itself: regular expressions in a `map`.
# NGX_DEBUG_PALLOC gives each pool allocation its own malloc, without which
# AddressSanitizer sees no overrun inside a pool.

set -eu
cd "$(dirname "$0")/.."
root=$PWD
out=$root/build/sanitize-nginx
obj=$out/obj
log=$out/log

fail() {
    echo "sanitized-nginx.sh: $*" >&2
    exit 1
}
skip() {
    echo "sanitized-nginx.sh: $*" >&2
    exit 77
}

cc=$(sed -n 's/^CC = //p' build/config.mk 2>/dev/null || true)
cc=${CC:-${cc:-gcc}}
tree=$(tests/nginx-source.sh) || skip "there is no nginx source to build"
mkdir -p "$out/prefix/logs"

exec 9>"$out/lock"
flock -w 900 9 || fail "another run has held $out/lock for fifteen minutes"
started=$(date +%s)

sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
not_nginx="-fno-sanitize=nonnull-attribute,alignment"

# shellcheck disable=SC2086
if ! printf 'int main(void) { return 0; }\n' \
    | $cc $sanitize -x c -o "$out/try" - 2>/dev/null || ! "$out/try"; then
    skip "$cc cannot build with the sanitizers"
fi
rm -f "$out/try"

# Built in, so that the program checks the same way whoever starts it.
cat > "$out/defaults.c" <<END
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
int __lsan_is_turned_off(void);
const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);
const char *
__asan_default_options(void)
{
    return "abort_on_error=1:detect_stack_use_after_return=1";
}
const char *
__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}
/* An ngx_uint_t; weak for the small programs of nginx's configure. */
extern unsigned long ngx_process __attribute__((weak));
int
__lsan_is_turned_off(void)
{
    return &ngx_process == 0
           || (ngx_process != 1 /* MASTER */ && ngx_process != 3 /* WORKER */);
}
const char *
__lsan_default_options(void)
{
    return "print_suppressions=0";
}
const char *
__lsan_default_suppressions(void)
{
    return "leak:ngx_regex_malloc\\n";
}
END
$cc -O1 -g -c -o "$out/defaults.o" "$out/defaults.c" \
    || fail "$cc cannot compile $out/defaults.c"

set -- --prefix="$out/prefix" --builddir="$obj" --with-cc="$cc" \
    --with-cc-opt="-O1 -g -fno-omit-frame-pointer -Wno-error \
        -DNGX_DEBUG_PALLOC=1 $sanitize $not_nginx" \
    --with-ld-opt="$out/defaults.o $sanitize" --with-debug --with-threads \
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module \
    --with-http_auth_request_module --with-http_stub_status_module \
    --with-http_dav_module --with-http_slice_module \
    --with-http_addition_module --with-http_sub_module \
    --with-stream --with-stream_ssl_module --with-stream_realip_module
[ ! -d "$tree/src/http/v3" ] || set -- "$@" --with-http_v3_module

# Another tree, compiler or option: everything is built anew.
{ printf '%s\n' "$tree" "$($cc --version | head -n 1)" "$@"
  cat "$out/defaults.c"; } > "$out/options.new"
if ! cmp -s "$out/options.new" "$out/options"; then
    rm -rf "$obj"
    mv "$out/options.new" "$out/options"
fi

[ ! -f modules/config ] || set -- "$@" --add-module="$root/modules"

# Configuring again is for another set of our sources.  It rewrites two headers
# on which all of nginx depends: saying the same they get their old time back.
{ find modules lib -name '*.c' | sort; cat modules/config; } \
    > "$out/sources.new" 2>/dev/null || true
if [ ! -f "$obj/Makefile" ] || ! cmp -s "$out/sources.new" "$out/sources"; then
    mkdir -p "$obj"
    for header in ngx_auto_config.h ngx_auto_headers.h; do
        [ ! -f "$obj/$header" ] || cp -p "$obj/$header" "$out/$header"
    done
    (cd "$tree" && ./configure "$@") > "$log" 2>&1 \
        || fail "nginx's configure failed; see $log"
    for header in ngx_auto_config.h ngx_auto_headers.h; do
        if cmp -s "$obj/$header" "$out/$header"; then
            cp -p "$out/$header" "$obj/$header"
        fi
        rm -f "$out/$header"
    done
    mv "$out/sources.new" "$out/sources"
fi

cat > "$out/Makefile" <<END
include $obj/Makefile
$obj/addon/%.o: CFLAGS += -fsanitize=nonnull-attribute,alignment
END
make -C "$tree" -j"$(nproc)" -f "$out/Makefile" "$obj/nginx" >> "$log" 2>&1 \
    || fail "nginx does not build; see $log"
ln -f "$obj/nginx" "$out/nginx"
echo "sanitized-nginx.sh: $("$out/nginx" -v 2>&1), made in" \
    "$(($(date +%s) - started)) s on $(nproc) cores" >&2
echo "$out/nginx"
