#!/bin/sh
# Checks the evidence in this folder without Sekisho:
#
#     sh verify.sh [KEY]
#
# It needs a POSIX shell, awk, sed, tr, sha256sum, xargs and openssl (1.1.1 or
# later), as a plain Debian with openssl has them, and no network.  KEY is the
# log's verifier key, which you must have from somewhere else than from this
# folder; without it the key in the folder is printed, for you to compare.
#
# What is checked: keys, checkpoint, records, proofs/, and tree and leaves if
# they are here.  index.html is for reading; nothing rests on it.
#
# Formats: RFC 6962 (hashes), C2SP signed-note, tlog-checkpoint, tlog-proof.

set -eu
LC_ALL=C
export LC_ALL
umask 077

# What a forger wrote must not act on the terminal.
bad() {
    printf 'NOT VERIFIED: %s\n' "$*" | tr -d '\000-\011\013-\037\177'
    exit 1
}

expected=${1-}
cd "$(dirname "$0")"
for file in keys checkpoint records proofs; do
    [ -e "$file" ] || bad "$file is missing"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

same() {
    [ "$(sha256sum < "$1")" = "$(sha256sum < "$2")" ]
}

# Strict Base64 to hexadecimal ("" if it is none), hexadecimal to what printf
# makes bytes of, powers of two.
library='
function unbase64(text,    n, i, k, d, v, pad, out) {
    n = length(text)
    if (n == 0 || n % 4 != 0) return ""
    pad = substr(text, n - 1) == "==" ? 2 : substr(text, n) == "=" ? 1 : 0
    out = ""
    for (i = 1; i <= n; i += 4) {
        v = 0
        for (k = 0; k < 4; k++) {
            d = 0
            if (i + k <= n - pad) {
                d = index("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu" \
                          "vwxyz0123456789+/", substr(text, i + k, 1)) - 1
                if (d < 0) return ""
            }
            v = v * 64 + d
        }
        out = out sprintf("%06x", v)
    }
    n = length(out) - 2 * pad
    if (pad > 0 && substr(out, n + 1) !~ /^0+$/) return ""
    return substr(out, 1, n)
}
function octal(hex,    i, v, out) {
    out = ""
    for (i = 1; i < length(hex); i += 2) {
        v = (index("0123456789abcdef", substr(hex, i, 1)) - 1) * 16
        v += index("0123456789abcdef", substr(hex, i + 1, 1)) - 1
        out = out sprintf("\\%03o", v)
    }
    return out
}
function is_hash(text) { return length(text) == 64 && text !~ /[^0-9a-f]/ }
function is_number(text) {
    return text ~ /^[0-9]+$/ && length(text) < 16 &&
           (length(text) == 1 || substr(text, 1, 1) != "0")
}
function power(n,    out) { for (out = 1; n > 0; n--) out *= 2; return out }
'

to_hex() {
    printf '%s\n' "$1" | awk "$library"'{ print unbase64($0) }'
}

# shellcheck disable=SC2059 # the bytes are the format
to_bytes() {
    printf "$(printf '%s\n' "$1" | awk "$library"'{ print octal($0) }')"
}

# $work/pairs, "left right" a line, to $work/map, "left right hash".
# shellcheck disable=SC2059
hash_pairs() {
    rm -rf "$work/n"
    mkdir "$work/n"
    awk "$library"'{ print NR, "\\001" octal($1) octal($2) }' "$work/pairs" |
        while read -r number bytes; do
            printf "$bytes" > "$work/n/$number"
        done
    hash_files
    awk 'NR == FNR { hash[$2] = $1; next }
         { if (!(FNR in hash)) exit 1; print $1, $2, hash[FNR] }' \
        "$work/hashes" "$work/pairs" > "$work/map" || bad "hashing failed"
}

# The files of $work/n to $work/hashes, "hash name".
hash_files() {
    (cd "$work/n" && printf '%s\n' * | xargs sha256sum) > "$work/hashes"
}

# ---- The keys ---------------------------------------------------------------

: > "$work/again"
: > "$work/keys"
found=no
keys=0
while IFS= read -r key || [ -n "$key" ]; do
    printf '%s\n' "$key" >> "$work/again"
    case $key in
    *[[:cntrl:]]*) bad "keys: there are control characters in it" ;;
    esac
    name=${key%%+*}
    rest=${key#*+}
    id=${rest%%+*}
    hex=$(to_hex "${rest#*+}")
    case $hex in
    01*) [ ${#hex} = 66 ] || bad "keys: \"$key\" is no Ed25519 key" ;;
    *) bad "keys: \"$key\" is no Ed25519 key" ;;
    esac
    digest=$({ printf '%s\n' "$name"; to_bytes "$hex"; } | sha256sum)
    [ "$name+$(printf '%.8s' "$digest")" = "$name+$id" ] ||
        bad "keys: \"$key\" is not whole"
    [ "$key" != "$expected" ] || found=yes
    keys=$((keys + 1))
    printf '%s %s %s\n' "$id" "${hex#01}" "$name" >> "$work/keys"
done < keys
same keys "$work/again" || bad "keys: there is something else in it"
[ "$keys" -gt 0 ] || bad "keys: there is none"
if [ -n "$expected" ] && [ $found = no ]; then
    bad "the key given is not the one that signed"
fi

# ---- The checkpoint ---------------------------------------------------------

awk -v folder="$work" "$library"'
NR == 1 { origin = $0; next }
NR == 2 { size = $0; if (!is_number(size)) exit 1; next }
NR == 3 { root = unbase64($0); if (!is_hash(root)) exit 1; next }
NR == 4 { if ($0 != "") exit 1; next }
{
    if (index($0, "\342\200\224 ") != 1) exit 1
    rest = substr($0, 5)
    at = index(rest, " ")
    hex = unbase64(substr(rest, at + 1))
    if (at < 2 || length(hex) < 10) exit 1
    print substr(hex, 1, 8), substr(hex, 9), substr(rest, 1, at - 1) \
        > (folder "/signatures")
}
END {
    if (NR < 5) exit 1
    print origin > (folder "/origin")
    print size, root > (folder "/tree_head")
}' checkpoint || bad "checkpoint: it is not one"
for file in signatures tree_head; do
    [ -s "$work/$file" ] || bad "checkpoint: it is not one"
done
read -r size root < "$work/tree_head"
IFS= read -r origin < "$work/origin"
sed '/^$/,$d' checkpoint > "$work/body"

while read -r id hex name; do
    [ "$name" = "$origin" ] || bad "checkpoint: of another log than the key"
    count=0
    while read -r signed_id signature signer; do
        [ "$signed_id $signer" = "$id $name" ] || continue
        count=$((count + 1))
        [ ${#signature} = 128 ] || bad "checkpoint: a signature is cut"
        to_bytes "$signature" > "$work/signature"
        to_bytes "302a300506032b6570032100$hex" > "$work/key.der"
        openssl pkeyutl -verify -rawin -pubin -keyform DER \
            -inkey "$work/key.der" -in "$work/body" \
            -sigfile "$work/signature" > "$work/said" 2>&1 ||
            bad "checkpoint: the signature of $name+$id is false"
    done < "$work/signatures"
    [ $count = 1 ] || bad "checkpoint: it is not signed by $name+$id"
done < "$work/keys"

# ---- The records: their leaves ----------------------------------------------

mkdir "$work/n"
: > "$work/again"
records=0
while IFS= read -r line || [ -n "$line" ]; do
    records=$((records + 1))
    printf '%s\n' "$line" >> "$work/again"
    printf '\000%s' "$line" > "$work/n/$records"
done < records
same records "$work/again" || bad "records: there is something else in it"
[ $records -gt 0 ] || bad "records: there is none"
hash_files
mv "$work/hashes" "$work/shown"

# ---- Their proofs -----------------------------------------------------------

printf '%s\n' proofs/* | xargs cat > "$work/proofs"
awk -v again="$work/again" -v size="$size" "$library"'
function wrong(what) {
    print "proofs: number " (count + 1) ": " what
    failed = 1
    exit 1
}
BEGIN {
    while ((getline line < "checkpoint") > 0) checkpoint[++lines] = line
    printf "" > again
    before = -1
}
{ print > again }
state == 0 {
    if ($0 != "c2sp.org/tlog-proof@v1") wrong("it is none")
    state = 1
    next
}
state == 1 {
    number = substr($0, 7)
    if (index($0, "index ") != 1 || !is_number(number)) wrong("no index")
    if (number + 0 <= before || number + 0 >= size + 0) wrong("its index")
    before = number + 0
    path = ""
    state = 2
    next
}
state == 2 && $0 == "" { state = 3; at = 0; next }
state == 2 {
    hash = unbase64($0)
    if (!is_hash(hash)) wrong("a hash is none")
    path = path " " hash
    next
}
{
    if (($0 "") != (checkpoint[++at] "")) wrong("it has another checkpoint")
    if (at == lines) {
        print ++count, number path
        state = 0
    }
}
END { if (!failed && state != 0) print "proofs: the last one is cut" }
' "$work/proofs" > "$work/paths" || bad "$(tail -n 1 "$work/paths")"
same "$work/proofs" "$work/again" || bad "proofs: something else is in them"
[ "$(wc -l < "$work/paths")" -eq $records ] ||
    bad "$records records, and not as many proofs"

# Number, index, last index, hash, path.
awk -v size="$size" '
NR == FNR { hash[$2] = $1; next }
{
    if (!($1 in hash)) exit 1
    leaf = hash[$1]
    head = $1 " " $2 " " (size - 1) " " leaf
    $1 = $2 = ""
    print head " " $0
}' "$work/shown" "$work/paths" > "$work/state" || bad "hashing failed"

# All proofs at once, level by level: what they have in common is hashed once.
while :; do
    awk 'NF > 4 {
        pair = ($2 % 2 == 1 || $2 == $3) ? $5 " " $4 : $4 " " $5
        if (!(pair in seen)) print pair
        seen[pair] = 1
    }' "$work/state" > "$work/pairs"
    [ -s "$work/pairs" ] || break
    hash_pairs
    awk '
    NR == FNR { hash[$1 " " $2] = $3; next }
    NF > 4 {
        number = $2
        last = $3
        if (last == 0) exit 1
        odd = number % 2 == 1 || number == last
        above = hash[odd ? $5 " " $4 : $4 " " $5]
        while (odd && number % 2 == 0 && number != 0) {
            number /= 2
            last = int(last / 2)
        }
        rest = ""
        for (i = 6; i <= NF; i++) rest = rest " " $i
        print $1, int(number / 2), int(last / 2), above rest
        next
    }
    { print }' "$work/map" "$work/state" > "$work/next" ||
        bad "proofs: one is too long"
    mv "$work/next" "$work/state"
done
wrong=$(awk -v root="$root" '$3 != 0 || $4 != root { print $1; exit }' \
    "$work/state")
[ -z "$wrong" ] ||
    bad "record in line $wrong: it is not what was signed at its place"

# ---- That nothing was left out ----------------------------------------------

complete=
if [ -e tree ] || [ -e leaves ]; then
    { [ -e tree ] && [ -e leaves ]; } || bad "tree or leaves is missing"
    awk 'NR == FNR { hash[$2] = $1; next } { print $2, hash[$1] }' \
        "$work/shown" "$work/paths" > "$work/places"
    awk -v folder="$work" -v size="$size" "$library"'
    function wrong(what) {
        print FILENAME ": " what
        failed = 1
        exit 1
    }
    function take(side, number, at, bits) {
        if ((getline line < "tree") <= 0) wrong("tree: it is cut")
        print line > (folder "/tree")
        split(line, part, " ")
        if (part[1] != side || part[2] != (bits "") || !is_hash(part[3]) ||
            line != side " " part[2] " " part[3]) {
            wrong("tree: \"" line "\" is not what must stand there")
        }
        print bits, at / power(bits), part[3] > (folder "/nodes")
    }
    function bound(name) {
        if ((getline line < "tree") <= 0) wrong("tree: it is cut")
        print line > (folder "/tree")
        number = substr(line, length(name) + 2)
        if (index(line, name " ") != 1 || !is_number(number)) {
            wrong("tree: no \"" name "\"")
        }
        return number + 0
    }
    BEGIN {
        printf "" > (folder "/leaves")
        printf "" > (folder "/nodes")
        from = bound("from")
        to = bound("to")
        if (from >= to || to > size + 0) wrong("tree: no such range")
        at = 0
        for (bits = 50; bits >= 0; bits--) {
            if (from - at >= power(bits)) {
                take("left", from, at, bits)
                at += power(bits)
            }
        }
        at = to
        while (at < size + 0) {
            for (bits = 0; at % power(bits + 1) == 0 &&
                           at + power(bits + 1) <= size + 0; bits++);
            take("right", to, at, bits)
            at += power(bits)
        }
        if ((getline line < "tree") > 0) wrong("tree: it is too long")
        at = from
    }
    FILENAME != "leaves" { shown[$1] = $2; records++; next }
    {
        print > (folder "/leaves")
        mark = substr($0, 1, 2)
        hash = substr($0, 3)
        if ((mark != "+ " && mark != "- ") || !is_hash(hash)) {
            wrong("line " FNR " is none")
        }
        if (mark == "+ " && !(at in shown)) {
            wrong("entry " at " is to be shown, and its record is missing")
        }
        if (at in shown) {
            if (mark == "- ") wrong("entry " at " is shown and withheld")
            if ((hash "") != (shown[at] "")) wrong("entry " at " is another")
            matched++
        } else {
            withheld++
        }
        print 0, at, hash > (folder "/nodes")
        at++
    }
    END {
        if (failed) exit 1
        if (at != to) wrong("not as many as the range has")
        if (matched != records) wrong("a record is outside of the range")
        print from, to - 1, to - from, withheld + 0
    }' "$work/places" leaves > "$work/range" ||
        bad "$(tail -n 1 "$work/range")"
    same tree "$work/tree" || bad "tree: something else is in it"
    same leaves "$work/leaves" || bad "leaves: something else is in it"

    height=0
    : > "$work/edge"
    while [ -s "$work/nodes" ]; do
        awk -v height=$height -v folder="$work" '
        $1 != height { print > (folder "/higher"); next }
        { hash[$2] = $3 }
        END {
            printf "" > (folder "/higher")
            printf "" > (folder "/numbers")
            for (number in hash) {
                if (number % 2 == 1) {
                    if (!((number - 1) in hash)) exit 1
                } else if ((number + 1) in hash) {
                    print hash[number], hash[number + 1]
                    print number / 2 > (folder "/numbers")
                } else {
                    print hash[number] > (folder "/edge." height)
                }
            }
        }' "$work/nodes" > "$work/pairs" || bad "tree: it does not fit"
        if [ -e "$work/edge.$height" ]; then
            cat "$work/edge.$height" >> "$work/edge"
        fi
        height=$((height + 1))
        : > "$work/nodes"
        if [ -s "$work/pairs" ]; then
            hash_pairs
            awk -v height=$height 'NR == FNR { number[FNR] = $1; next }
                { print height, number[FNR], $3 }' \
                "$work/numbers" "$work/map" > "$work/nodes"
        fi
        cat "$work/higher" >> "$work/nodes"
    done
    derived=
    while read -r hash; do
        if [ -n "$derived" ]; then
            printf '%s %s\n' "$hash" "$derived" > "$work/pairs"
            hash_pairs
            read -r hash derived hash < "$work/map"
        fi
        derived=$hash
    done < "$work/edge"
    [ "$derived" = "$root" ] ||
        bad "the entries of the range are not those that were signed"
    read -r first last all withheld < "$work/range"
    complete="Complete:   entries $first to $last, $all in all, without a hole: \
$records shown, $withheld withheld"
fi

# ---- What was found ---------------------------------------------------------

cat <<END
VERIFIED
Log:        $origin
Checkpoint: $size entries, root $root
Records:    $records, each as it was signed
${complete:-Complete:   not claimed; more records may exist than are shown here}
Signed by:
END
sed 's/^/            /' keys
if [ -z "$expected" ]; then
    echo "Compare this key with the one that you have from somewhere else; or"
    echo "give that one: sh verify.sh KEY"
fi
