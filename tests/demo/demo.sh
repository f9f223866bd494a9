#!/bin/sh
# make demo: plays the story of gate and trail on a real Orthanc.  This only looks
# whether everything is there; demo.py does the rest.
#
#   STAY=1     stay up afterwards, for a browser, until Ctrl-C
#   KEEP=DIR   leave policy, nginx.conf, trail, verifier key, logs and
#              transcript in DIR
#   NO_COLOR=1 plain output also on a terminal

set -eu
cd "$(dirname "$0")/../.."

PATH=$PATH:/usr/sbin:/sbin
missing=
need() { # command, Debian package
    command -v "$1" >/dev/null || missing="$missing $2"
}
need python3 python3
need Orthanc orthanc
need dump2dcm dcmtk
need openssl openssl
if [ ! -f build/config.mk ] || ! grep -q '^NGINX = .' build/config.mk; then
    need nginx nginx
fi
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] \
    || missing="$missing orthanc-dicomweb"
if [ -n "$missing" ]; then
    echo "demo: missing Debian packages:$missing" >&2
    echo "demo: ./configure --install-deps installs them" >&2
    exit 2
fi
for file in build/bin/sekisho build/bin/sekishod \
    build/lib/ngx_http_sekisho_module.so; do
    if [ ! -e "$file" ]; then
        echo "demo: $file is not built: run make first" >&2
        exit 2
    fi
done

# exec: signals reach the program that cleans up.
exec python3 -B tests/demo/demo.py
