# The checks, in the order in which they run.

boot_first() {
    # An emulated processor verifies programs many times slower, the more so on a busy host.
    mkdir -p /etc/systemd/system/privatelink.service.d
    printf '[Service]\nTimeoutStartSec=900s\n' >/etc/systemd/system/privatelink.service.d/slow.conf
    snapshot >/var/opt/machine/before
    for name in installs_without_starting starts_with_a_configuration exposes_little \
        decides_and_forwards serves_names_by_socket_activation restarts_without_a_loss \
        reloads_and_refuses_faults stops_and_goes_on_forwarding recovers_from_a_kill \
        recovers_by_the_watchdog; do
        check $name
    done
    systemctl stop machine-traffic
    address >/var/opt/machine/address
    echo second >/var/opt/machine/boot
    systemctl reboot
}

boot_second() {
    for name in is_back_after_a_reboot is_removed_and_keeps_what_was_decided purges_everything \
        upgrades_from_the_previous_release upgrades_without_a_loss purges_everything; do
        check $name
    done
    say ended
    systemctl poweroff
}

installs_without_starting() {
    dpkg -i current.deb
    systemctl is-enabled privatelink.service privatelink-dns.socket
    active privatelink-dns.socket
    inactive privatelink.service
    inactive privatelink-dns.service
    # That nothing is configured is no fault.
    refused systemctl is-failed privatelink.service
    [ "$(stat -c '%a %U %G' /etc/privatelink)" = "750 root privatelink" ]
    dpkg --verify privatelink
    privatelink --version
}

starts_with_a_configuration() {
    cp gateway.toml /etc/privatelink/
    privatelink check
    systemctl start privatelink.service
    active privatelink.service
    within 30 attached
    [ "$(stat -c %U "/proc/$(main_pid)")" = privatelink ]
}

exposes_little() {
    for unit in privatelink.service privatelink-dns.service; do
        systemd-analyze security --no-pager --threshold=25 $unit | tail -n 1
        systemd-analyze security --no-pager --threshold=25 $unit >/dev/null
    done
}

decides_and_forwards() {
    [ "$(state)" = pending-acceptance ]
    refused fetches "$(address)"
    privatelink accept acme-web
    within 30 fetches "$(address)"
}

serves_names_by_socket_activation() {
    within 60 resolves "$(address)"
    active privatelink-dns.service
    local server
    server=$(systemctl show --value --property=MainPID privatelink-dns.service)
    [ "$(stat -c %U "/proc/$server")" = privatelink-dns ]
    # A name server that dies is started by the next query of the daemon.
    systemctl kill --signal=KILL privatelink-dns.service
    within 60 resolves "$(address)"
}

restarts_without_a_loss() {
    watch_traffic "$(address)"
    local before
    before=$(main_pid)
    systemctl restart privatelink.service
    is_not main_pid "$before"
    lost_nothing
}

reloads_and_refuses_faults() {
    local before
    before=$(main_pid)
    sed 's/subnets = \["10.1.0.0\/16"\]/&\nunknown = 1/' gateway.toml >/etc/privatelink/gateway.toml
    refused systemctl reload privatelink.service
    active privatelink.service
    cp gateway.toml /etc/privatelink/gateway.toml
    printf '\n[[endpoint]]\nname = "acme-second"\nservice = "web"\nnetwork = "acme"\n' \
        >>/etc/privatelink/gateway.toml
    systemctl reload privatelink.service
    serves_second
    cp gateway.toml /etc/privatelink/gateway.toml
    systemctl reload privatelink.service
    refused serves_second
    [ "$(main_pid)" = "$before" ]
    lost_nothing
}

stops_and_goes_on_forwarding() {
    systemctl stop privatelink.service
    inactive privatelink.service
    attached
    lost_nothing
    systemctl start privatelink.service
    lost_nothing
}

recovers_from_a_kill() {
    local before
    before=$(main_pid)
    systemctl kill --signal=KILL privatelink.service
    within 30 is_not main_pid "$before"
    within 60 active privatelink.service
    lost_nothing
}

recovers_by_the_watchdog() {
    local before
    before=$(restarts)
    systemctl kill --signal=STOP privatelink.service
    within 180 is_not restarts "$before"
    within 60 active privatelink.service
    journalctl --no-pager -u privatelink.service | grep -i 'watchdog timeout' | tail -n 1
    lost_nothing
}

is_back_after_a_reboot() {
    within 60 active privatelink.service
    within 30 attached
    available
    [ "$(address)" = "$(cat /var/opt/machine/address)" ]
    within 60 fetches "$(address)"
    within 60 resolves "$(address)"
    refused some_unit_failed
}

is_removed_and_keeps_what_was_decided() {
    dpkg --remove privatelink
    [ "$(with_xdp)" = 0 ]
    refused test -e /sys/fs/bpf/privatelink
    refused pgrep -x privatelink
    refused test -e /usr/bin/privatelink
    test -e /etc/privatelink/gateway.toml
    test -d /var/lib/privatelink
    refused loaded_programs
}

purges_everything() {
    dpkg --purge privatelink
    refused getent passwd privatelink
    refused getent passwd privatelink-dns
    snapshot >/var/opt/machine/after
    if ! diff /var/opt/machine/before /var/opt/machine/after; then
        echo "the purge left something: $(diff /var/opt/machine/before /var/opt/machine/after | grep '^>' | head -n 3 | tr '\n' ' ')"
        return 1
    fi
}

upgrades_from_the_previous_release() {
    # The unit from before releases refuses system calls that its daemon needs.
    local mended=/etc/systemd/system/privatelink.service.d/mended.conf
    printf '[Service]\nSystemCallFilter=bpf @chown\n' >$mended
    dpkg -i previous.deb
    cp gateway.toml /etc/privatelink/
    systemctl restart privatelink.service
    within 30 attached
    privatelink accept acme-web
    within 30 fetches "$(address)"
    local before
    before=$(address)
    watch_traffic "$before"
    rm $mended
    dpkg -i current.deb
    active privatelink.service
    [ "$(address)" = "$before" ]
    available
    if journalctl --no-pager -b -u privatelink.service | grep -q 'flow table was replaced'; then
        # Another layout of the maps: flows may end once, and are opened again.
        goes_on
        echo "the layout differs; traffic: $(cat $SEEN)"
        [ "$(seen flow_ends)" -le 1 ]
    else
        lost_nothing
    fi
    within 60 resolves "$before"
}

upgrades_without_a_loss() {
    watch_anew
    dpkg -i next.deb
    dpkg -s privatelink | grep '^Version'
    active privatelink.service
    lost_nothing
    systemctl stop machine-traffic
}
