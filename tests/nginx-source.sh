#!/bin/sh
# Prints the path of an unpacked source tree of the nginx that is installed
# as a Debian package (nginx-dev has headers only), kept under build/nginx-src.
#
#   tests/nginx-source.sh            the version of the installed package
#   tests/nginx-source.sh VERSION    another one that the package sources have
#
# apt is asked with a configuration of its own: the machine's package sources
# with source packages switched on, lists and downloads under build/.  Nothing
# outside build/ is written, so an ordinary user can run it.  Exit status 1 and
# one line on standard error if the source cannot be had.

set -eu
cd "$(dirname "$0")/.."
root=$PWD
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "nginx-source.sh: $*" >&2
    exit 1
}

for tool in apt-get dpkg-query dpkg-source flock; do
    command -v $tool >/dev/null \
        || fail "$tool is missing: install the Debian package dpkg-dev"
done

version=${1:-}
for package in nginx nginx-core nginx-common nginx-dev; do
    [ -z "$version" ] || break
    version=$(dpkg-query -W -f '${source:Version}' "$package" 2>/dev/null \
              || true)
done
[ -n "$version" ] || fail "no Debian package of nginx is installed"

kept=$root/build/nginx-src
mkdir -p "$kept"

# One at a time: a test run and a build by hand may both want the tree.
exec 9>"$kept/lock"
flock -w 600 9 || fail "another run has held $kept/lock for ten minutes"

tree=$kept/$version
if [ -f "$tree/src/core/nginx.h" ]; then
    echo "$tree"
    exit 0
fi

apt=$kept/apt
log=$apt/log
rm -rf "$apt"
mkdir -p "$apt/sources.d" "$apt/lists/partial" "$apt/cache/archives/partial" \
         "$apt/download"

# Both formats that apt reads; binary lists are not needed again.
n=0
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -r "$list" ] || continue
    n=$((n + 1))
    case $list in
    *.list)
        sed -n 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$list" \
            > "$apt/sources.d/$n.list" ;;
    *.sources)
        sed 's/^[Tt]ypes:.*/Types: deb-src/' "$list" \
            > "$apt/sources.d/$n.sources" ;;
    esac
done

# Read after the machine's own configuration, of which the hooks (they notify
# desktops, and fail for ordinary users) have no business here.
cat > "$apt/apt.conf" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "$(id -un)";
APT::Get::List-Cleanup "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/sources.d";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Cache::Archives "$apt/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END

# A source that does not answer is no trouble as long as another one has it.
timeout 300 apt-get -q -y -c "$apt/apt.conf" update >"$log" 2>&1 || true

download() {
    (cd "$apt/download" && timeout 300 apt-get -q -y -c "$apt/apt.conf" \
        source --download-only "nginx=$1") >>"$log" 2>&1
}

# An archive drops a superseded version while its index may still list it:
# then the nearest one, newest first, of the same upstream version if possible.
others() {
    apt-cache -c "$apt/apt.conf" showsrc nginx 2>>"$log" \
        | sed -n 's/^Version: //p' | sort -Vru > "$apt/versions"
    grep -F -- "${version%-*}-" "$apt/versions" || true
    grep -vF -- "${version%-*}-" "$apt/versions" || true
}
got=
if download "$version"; then
    got=$version
elif [ -z "${1:-}" ]; then
    for other in $(others); do
        if download "$other"; then
            got=$other
            break
        fi
    done
fi

# Epochs are not part of file names.
if [ -n "$got" ]; then
    dsc=$apt/download/nginx_${got#*:}.dsc
    dpkg-source --no-copy -x "$dsc" "$apt/tree" >>"$log" 2>&1 \
        || fail "cannot unpack $dsc; see $log"
    [ "$got" = "$version" ] || echo "nginx-source.sh: the source of nginx" \
        "$version is gone, taking $got" >&2
else
    # What apt has fetched and checked before it missed the rest.
    upstream=${version#*:}
    original=$apt/download/nginx_${upstream%-*}.orig.tar.gz
    [ -f "$original" ] || fail "apt has no source of nginx $version; see $log"
    mkdir "$apt/tree"
    tar -xzf "$original" -C "$apt/tree" --strip-components=1 2>>"$log" \
        || fail "cannot unpack $original; see $log"
    echo "nginx-source.sh: Debian's patches for nginx $version are gone," \
        "taking the upstream source without them" >&2
fi
[ -f "$apt/tree/src/core/nginx.h" ] || fail "what apt has of $version is no nginx; see $log"

# The cache is named after what was asked for, so that the next run finds it
# without asking apt again.
mv "$apt/tree" "$tree"
rm -rf "$apt"
echo "$tree"
