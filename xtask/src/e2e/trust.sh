# Run by trust.rs as `sh trust.sh BINARY FOLDER CA LEAF HOST PORT` in a mount namespace of its own. Every folder that may change is
# covered by one below FOLDER, so the machine's own trust store is read once and never written. LEAF was issued by CA; HOST is served on
# PORT with such a certificate.
set -eu
binary=$1 folder=$2 ca=$3 leaf=$4 host=$5 port=$6
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# What would have clients look elsewhere, or stand in for a flag.
unset SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE SEALWAY_CA SEALWAY_YES SEALWAY_OUTPUT SUDO_UID || true

fail() { echo "$*" >&2; exit 1; }
mkdir "$folder/local" "$folder/hooks" "$folder/run"
cp -dR /etc/ssl/certs "$folder/certs"
# Somebody's own CA stays, whatever we do.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mine -days 2 -keyout "$folder/mine.key" \
    -out "$folder/local/mine.crt" 2>/dev/null
# Java's trust store, for one, is a hook: it is told what comes and goes.
printf '#!/bin/sh\ncat >>%s/told\n' "$folder" >"$folder/hooks/hook"
chmod +x "$folder/hooks/hook"
mount --bind "$folder/certs" /etc/ssl/certs
mount --bind "$folder/local" /usr/local/share/ca-certificates
mount --bind "$folder/hooks" /etc/ca-certificates/update.d
mount --bind "$folder/run" /run
update-ca-certificates >/dev/null 2>&1

sums() {
    for at in /etc/ssl/certs /usr/local/share/ca-certificates /run; do
        find "$at" -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\n'
    done | sort
}
sums >"$folder/before"
unchanged() { sums | diff "$folder/before" - >&2 || fail "$1: the store is not as it was"; }
believed() { openssl verify "$leaf" && curl -fsS --resolve "$host:$port:127.0.0.1" "https://$host:$port/"; }
is_believed() { believed >"$folder/clients" 2>&1 || fail "$1: $(cat "$folder/clients")"; }
is_not_believed() {
    ! openssl verify "$leaf" >/dev/null 2>&1 || fail "$1: openssl believes the CA"
    ! curl -fsS --resolve "$host:$port:127.0.0.1" "https://$host:$port/" >/dev/null 2>&1 || fail "$1: curl believes the CA"
}
# Runs `certs trust` and expects an exit status.
trust() {
    expected=$1 status=0
    shift
    "$binary" certs trust "$@" </dev/null >"$folder/said" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "$* ended with $status: $(cat "$folder/said")"
}
# The same at a terminal, where somebody types an answer.
answered() {
    answer=$1 expected=$2 status=0
    shift 2
    echo "$answer" | script -qec "'$binary' certs trust $*" /dev/null >"$folder/said" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "$* with $answer ended with $status: $(cat "$folder/said")"
}
says() { grep -qF -e "$1" "$folder/said" || fail "not said: $1: $(cat "$folder/said")"; }

is_not_believed "before"
trust 2 install --ca "$ca"
says "--yes"
answered n 1 "install --ca '$ca'"
unchanged "after a no"

cp "$ca" "$folder/copy.crt"
answered y 0 "install --ca '$folder/copy.crt'"
fingerprint=$(openssl x509 -in "$ca" -noout -fingerprint -sha256 | cut -d= -f2)
says "$fingerprint"
installed=/usr/local/share/ca-certificates/sealway-$(echo "$fingerprint" | tr -d : | tr A-F a-f).crt
says "certs trust uninstall --ca $installed"
is_believed "installed"
[ "$(stat -c %a "$installed")" = 644 ] || fail "mode of $installed"
link=/etc/ssl/certs/$(basename "$installed" .crt).pem
grep -qxF "+$link" "$folder/told" || fail "the hook was not told what came"
sums >"$folder/installed"
trust 0 install --ca "$ca"
sums | cmp -s "$folder/installed" - || fail "a second install changes something"

# What was shown as the way back, without the certificate at hand.
rm "$folder/copy.crt"
answered y 0 "uninstall --ca $installed"
is_not_believed "uninstalled"
unchanged "uninstalled"
grep -qxF -e "-$link" "$folder/told" || fail "the hook was not told what went"
trust 0 uninstall

# An uninstall that was killed between its steps, and what Debian's command makes of that.
trust 0 install --yes --ca "$ca"
rm "$installed"
update-ca-certificates >/dev/null 2>&1
[ -L "$link" ] || fail "there is no stale link to clear"
trust 0 uninstall --yes
unchanged "uninstalled in two goes"
