#!/bin/bash
# What is tried on the machine, boot by boot. Each check is reported in one line on the console:
#   privatelink-machine: passed NAME SECONDS
#   privatelink-machine: failed NAME SECONDS REASON
# Nothing waits for a time: `within SECONDS CONDITION` ends as soon as the condition holds.
set -u
cd /opt/machine
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
mkdir -p /var/opt/machine

say() { echo "privatelink-machine: $*"; }

within() { # seconds, command
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "it did not come to pass: $*"
            return 1
        fi
        sleep 0.1
    done
}

# Fails if the command succeeds; `! command` alone would fail nothing under `set -e`.
refused() {
    if "$@" >/dev/null 2>&1; then
        echo "it must not hold: $*"
        return 1
    fi
}

check() { # name of a function
    local start=$SECONDS said status
    # Not in a condition: there bash ignores `set -e`.
    said=$(set -e; "$1" 2>&1)
    status=$?
    if [ $status = 0 ]; then
        say "passed $1 $((SECONDS - start))"
        [ -z "$said" ] || sed 's/^/    /' <<<"$said"
    else
        say "failed $1 $((SECONDS - start)) $(tail -n 1 <<<"$said")"
        sed 's/^/    /' <<<"$said"
        systemctl status --no-pager -n 0 'privatelink*' 2>&1 | sed 's/^/    /'
        journalctl --no-pager -b -n 40 -o short-monotonic -u 'privatelink*' 2>&1 | sed 's/^/    /'
        privatelink status 2>&1 | sed 's/^/    /'
        # The next checks start from where this one should have ended.
        say stopped
        systemctl poweroff
        exit 1
    fi
}

# Conditions

active() { systemctl is-active --quiet "$@"; }
inactive() { ! active "$@"; }
main_pid() { systemctl show --value --property=MainPID privatelink.service; }
restarts() { systemctl show --value --property=NRestarts privatelink.service; }
is_not() { [ "$($1)" != "$2" ]; }
address() { privatelink endpoints --json | python3 -c \
    'import json, sys; print([e for e in json.load(sys.stdin) if e["name"] == "acme-web"][0]["addresses"][0])'; }
state() { privatelink connections --json | python3 -c \
    'import json, sys; print([c for c in json.load(sys.stdin) if c["endpoint"] == "acme-web"][0]["state"])'; }
available() { [ "$(state)" = available ]; }
with_xdp() { ip -details link show | grep -c 'prog/xdp' || true; }
attached() { [ "$(with_xdp)" = 2 ]; }
loaded_programs() { bpftool prog show | grep -i xdp; }
serves_second() { privatelink endpoints | grep -q acme-second; }
some_unit_failed() { systemctl list-units --failed --no-legend --no-pager | grep .; }
in_acme() { ip netns exec acme "$@"; }
fetches() { in_acme python3 -c \
    'import socket, sys
with socket.create_connection((sys.argv[1], 80), timeout=5) as c:
    c.sendall(b"x"); assert c.recv(1) == b"x"' "$1"; }
resolves() { in_acme busybox nslookup web.internal 10.1.0.1 | grep -q "$1"; }

# Traffic that is watched

SEEN=/run/machine-traffic.json
seen() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' $SEEN "$1"; }
more_than() { [ "$(seen "$1")" -gt "$2" ]; }
watch_traffic() {
    systemctl reset-failed machine-traffic 2>/dev/null || true
    rm -f $SEEN
    systemd-run --quiet --unit=machine-traffic \
        ip netns exec acme /opt/machine/traffic.py watch "$1" $SEEN
    within 60 more_than rounds 10
    within 60 more_than opened 3
}
# Both kinds of exchanges succeed again after what has just happened.
goes_on() {
    within 60 more_than rounds $(($(seen rounds) + 20))
    within 60 more_than opened $(($(seen opened) + 5))
}
lost_nothing() {
    goes_on
    echo "traffic: $(cat $SEEN)"
    if [ "$(seen flow_ends)" != 0 ] || [ "$(seen not_opened)" != 0 ]; then
        journalctl --no-pager -u machine-traffic | tail -n 5
        echo "traffic was lost: $(cat $SEEN)"
        return 1
    fi
}
watch_anew() {
    systemctl stop machine-traffic
    watch_traffic "$(address)"
}

# Files and users, to be compared after a purge

snapshot() {
    find / -xdev -path /var/log -prune -o -path /var/opt/machine -prune -o -path /var/lib/dpkg -prune \
        -o -path /var/lib/systemd -prune -o -path /var/cache -prune -o -path /tmp -prune \
        -o -path '/etc/*-' -prune -o -path /var/tmp -prune -o -print | sort
    cut -d: -f1 /etc/passwd /etc/group
    ls /sys/fs/bpf 2>/dev/null || true
}

. ./checks.sh

boot=$(cat /var/opt/machine/boot 2>/dev/null || echo first)
say "boot $boot with kernel $(uname -r)"
"boot_$boot"
