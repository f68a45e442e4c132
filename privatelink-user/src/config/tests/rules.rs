//! Every way to break a configuration, and some that only look like it.

use super::{VALID, faults};

/// Declares tests that replace one text of [`VALID`] and expect faults in their order.
macro_rules! refuses {
    ($($name:ident: $from:literal => $to:literal, $([$message:literal, $text:literal]),+;)*) => {$(
        #[test]
        fn $name() {
            assert!(VALID.contains($from), "nothing to replace");
            let expected = [$( ($message.to_owned(), $text.to_owned()) ),+];
            assert_eq!(faults(&VALID.replacen($from, $to, 1)), expected);
        }
    )*};
}

refuses! {
    unknown_key_of_store: "[gateway]" => "[store]\netcd = [\"http://localhost\"]\ngroup = \"a\"\nstore = 1\n[gateway]",
        ["[store] has no key `store`", "store"];
    etcd_without_scheme: "[[network]]" => "[store]\netcd = [\"10.9.0.1:2379\"]\ngroup = \"a\"\n[[network]]",
        ["`etcd`: `10.9.0.1:2379` is not an address of etcd: it does not begin with `https://`",
         "\"10.9.0.1:2379\""];
    etcd_in_clear_text: "[[network]]" => "[store]\netcd = [\"http://[::1]:1\", \"http://10.9.0.1\"]\ngroup = \"a\"\n[[network]]",
        ["`http://10.9.0.1:2379` is another host, and is not reached by TLS", "\"http://10.9.0.1\""];
    etcd_without_certificates: "[[network]]" => "[store]\netcd = [\"https://etcd\"]\nca = \"/ca\"\ngroup = \"a\"\n[[network]]",
        ["[store] has no `certificate`", "[store]"], ["[store] has no `key`", "[store]"];
    store_without_group: "[[network]]" => "[store]\netcd = [\"http://127.0.0.1\"]\n[[network]]",
        ["[store] has no `group`", "[store]"];
    unknown_key: "port = 80"
        => "port = 80\nprot = 1",
        ["[[service.listener]] has no key `prot`", "prot"];
    unknown_keys_are_all_reported: "name = \"gw-a\"" => "name = \"gw-a\"\nx = 1\ny = 2",
        ["[gateway] has no key `x`", "x"], ["[gateway] has no key `y`", "y"];
    unknown_table: "[[endpoint]]"
        => "[[endpoints]]",
        ["the file has no key `endpoints`", "endpoints"];
    missing_key: "interface = \"eth1\"\n" => "", ["[[network]] has no `interface`", "[[network]]"];
    missing_gateway: "[gateway]\nname = \"gw-a\"" => "", ["no file has a [gateway] table", ""];
    wrong_type: "port = 80"
        => "port = \"80\"",
        ["`port` must be a whole number, not a string", "\"80\""];
    single_brackets: "[[endpoint]]" => "[endpoint]",
        ["`endpoint` must be a list of tables (double brackets, `[[…]]`), not a table",
         "[endpoint]"];
    bad_name: "name = \"acme-web\""
        => "name = \"Acme\"",
        ["`name`: `Acme` is not a name", "\"Acme\""];
    bad_interface: "eth1"
        => "eth/1",
        ["`interface`: `eth/1` is not an interface name", "\"eth/1\""];
    long_interface: "eth1" => "abcdefghijklmnop",
        ["`interface`: `abcdefghijklmnop` is not an interface name", "\"abcdefghijklmnop\""];
    bad_choice: "on_reject = \"reset\""
        => "on_reject = \"rest\"",
        ["`on_reject` cannot be `rest`", "\"rest\""];
    drain_without_duration: "on_reject = \"reset\"" => "on_reject = \"drain\"",
        ["`on_reject` does not say how long to drain", "\"drain\""];
    not_toml: "port = 80" => "port = = 80", ["not valid TOML: extra `=`, expected nothing", "="];
    number_without_digits: "port = 80" => "port = 0x",
        ["not valid TOML: a number has no digits behind its prefix", "0x"];
    octal_number_without_digits: "port = 80" => "port = [{ a = 0o }, 0b]",
        ["not valid TOML: a number has no digits behind its prefix", "0o"];
    duplicate_network: "name = \"vendor\"" => "name = \"acme\"",
        ["the network `acme` is defined twice", "\"acme\""], ["there is no network `vendor`",
         "\"vendor\""];
    duplicate_service: "[[endpoint]]"
        => "[[service]]\nname=\"web\"\nprincipal=\"vendor\"\nnetwork=\"vendor\"\nsource_addresses=[\"10.0.0.240\"]\nlistener=[{protocol=\"udp\",port=7}]\ntarget=[{address=\"10.0.0.9\"}]\n[[endpoint]]",
        ["the service `web` is defined twice", "\"web\""];
    undefined_service: "service = \"web\""
        => "service = \"wen\"",
        ["there is no service `wen`", "\"wen\""];
    undefined_network: "network = \"acme\""
        => "network = \"acne\"",
        ["there is no network `acne`", "\"acne\""];
    endpoint_outside_subnets: "10.1.0.50"
        => "10.2.0.50",
        ["10.2.0.50 is not in a subnet of `acme`", "\"10.2.0.50\""];
    endpoint_at_broadcast: "10.1.0.50" => "10.1.0.255",
        ["10.1.0.255 is the network or broadcast address of 10.1.0.0/24", "\"10.1.0.255\""];
    endpoint_with_two_of_a_family: "\"fd00:1::50\"" => "\"10.1.0.51\"",
        ["the endpoint `acme-web` has two addresses of one family", "\"10.1.0.51\""];
    endpoint_loopback: "10.1.0.50"
        => "127.0.0.1",
        ["`127.0.0.1` is a loopback address", "\"127.0.0.1\""];
    endpoint_mapped: "10.1.0.50" => "::ffff:10.1.0.50",
        ["`addresses`: `::ffff:10.1.0.50` is an IPv4 address written as IPv6",
         "\"::ffff:10.1.0.50\""];
    overlapping_endpoints: "[[endpoint]]"
        => "[[endpoint]]\nname = \"b\"\nservice = \"web\"\nnetwork = \"acme\"\naddresses = [\"10.1.0.50\"]\n[[endpoint]]",
        ["two endpoints have the address 10.1.0.50 in `acme`", "\"10.1.0.50\""];
    source_is_an_endpoint: "network = \"acme\"\naddresses = [\"10.1.0.50\", \"fd00:1::50\"]"
        => "network = \"vendor\"\naddresses = [\"10.0.0.242\"]",
        ["10.0.0.242 in `vendor` is both a source address of the service `web` and the endpoint `acme-web`",
         "\"10.0.0.240/29\""];
    source_is_a_target: "address = \"10.0.0.10\"" => "address = \"10.0.0.241\"",
        ["10.0.0.241 in `vendor` is both a source address of the service `web` and a target of the service `web`",
         "\"10.0.0.240/29\""];
    source_is_the_gateway: "10.0.0.1\"" => "10.0.0.247\"",
        ["10.0.0.247 in `vendor` is both a source address of the service `web` and the gateway of the network `vendor`",
         "\"10.0.0.240/29\""];
    source_outside_subnets: "10.0.0.240/29"
        => "10.9.0.240/29",
        ["10.9.0.240/29 is not in a subnet of `vendor`", "\"10.9.0.240/29\""];
    source_at_broadcast: "10.0.0.240/29" => "10.0.0.248/29",
        ["10.0.0.255 is the network or broadcast address of 10.0.0.0/24", "\"10.0.0.248/29\""];
    too_many_sources: "10.0.0.240/29"
        => "10.0.0.0/19",
        ["the service `web` has more than 4096 source addresses", "\"10.0.0.0/19\""];
    no_source_of_the_family: "address = \"10.0.0.10\"" => "address = \"fd00::10\"",
        ["the service `web` has no IPv6 source address",
         "\"fd00::10\""], ["the target fd00::10 is not in a subnet of `vendor`",
         "\"fd00::10\""];
    target_is_an_endpoint: "network = \"acme\"\naddresses = [\"10.1.0.50\", \"fd00:1::50\"]"
        => "network = \"vendor\"\naddresses = [\"10.0.0.10\"]",
        ["10.0.0.10 in `vendor` is both a target of the service `web` and the endpoint `acme-web`",
         "\"10.0.0.10\""];
    target_unreachable: "gateway = \"10.0.0.1\"\n\n[[service]]\nname = \"web\"\nprincipal = \"vendor\"\nnetwork = \"vendor\""
        => "\n[[service]]\nname = \"web\"\nprincipal = \"acme\"\nnetwork = \"acme\"\nprivate_dns = []",
        ["10.0.0.240/29 is not in a subnet of `acme`",
         "\"10.0.0.240/29\""], ["the target 10.0.0.10 is not in a subnet of `acme`",
         "\"10.0.0.10\""];
    target_twice: "[service.health_check]"
        => "[[service.target]]\naddress = \"10.0.0.10\"\n[service.health_check]",
        ["the target 10.0.0.10 is listed twice", "\"10.0.0.10\""];
    target_neither_address_nor_name: "10.0.0.10"
        => "10.0.0.300",
        ["`address`: `10.0.0.300` is not an IP address", "\"10.0.0.300\""];
    gateway_outside_subnets: "10.0.0.1\""
        => "10.5.0.1\"",
        ["the gateway 10.5.0.1 is not in a subnet of `vendor`", "\"10.5.0.1\""];
    reversed_ports: "\"9092-9099\""
        => "\"9099-9092\"",
        ["`ports`: the range 9099-9092 ends before it begins", "\"9099-9092\""];
    target_range_mismatch: "19092-19099"
        => "19092-19098",
        ["`target_port` names 7 ports, but the listener has 8", "\"19092-19098\""];
    port_zero: "port = 80" => "port = 0", ["`port`: 0 is out of range", "0"];
    port_and_ports: "port = 80"
        => "port = 80\nports = \"81-82\"",
        ["a listener has `port` or `ports`, not both", "\"81-82\""];
    neither_port_nor_ports: "port = 80"
        => "",
        ["[[service.listener]] has no `port`", "[[service.listener]]"];
    overlapping_listeners: "port = 80"
        => "port = 9095",
        ["the listeners on tcp 9095 and 9092-9099 overlap", "\"9092-9099\""];
    idle_timeout_too_short: "350s" => "59s", ["`idle_timeout`: 59s is out of range", "\"59s\""];
    idle_timeout_too_long: "350s" => "8d", ["`idle_timeout`: 8d is out of range", "\"8d\""];
    not_a_duration: "350s" => "350", ["`idle_timeout`: `350` is not a duration", "\"350\""];
    timeout_not_below_interval: "timeout = \"5s\"" => "timeout = \"10s\"",
        ["the health check's timeout of 10s is not shorter than its interval of 10s", "\"10s\""];
    threshold_zero: "timeout = \"5s\""
        => "healthy_threshold = 0",
        ["`healthy_threshold`: 0 is out of range", "0"];
    health_check_without_path: "path = \"/healthz\"\n"
        => "",
        ["the health check has no `path` to fetch", "[service.health_check]"];
    health_check_without_protocol: "protocol = \"http\"\n"
        => "",
        ["[service.health_check] has no `protocol`", "[service.health_check]"];
    tcp_check_with_path: "protocol = \"http\""
        => "protocol = \"tcp\"",
        ["only http and https health checks have a `path`", "\"/healthz\""];
    plain_check_with_certificates: "path = \"/healthz\""
        => "path = \"/healthz\"\nca_file = \"/etc/ca.pem\"\nservice = \"x\"",
        ["only health checks over TLS have a `ca_file`", "\"/etc/ca.pem\""],
        ["only grpc health checks have a `service`", "\"x\""];
    bad_matcher: "path = \"/healthz\""
        => "path = \"/healthz\"\nmatcher = \"2xx\"",
        ["`matcher`: `2xx` is not a list of HTTP status codes", "\"2xx\""];
    path_with_a_line_break: "/healthz"
        => "/a\\r\\nb",
        ["`/a\r\nb` is not the path of a request", "\"/a\\r\\nb\""];
    max_flows_zero: "name = \"gw-a\""
        => "name = \"gw-a\"\nmax_flows = 0",
        ["`max_flows`: 0 is out of range", "0"];
    max_flows_too_many: "name = \"gw-a\""
        => "name = \"gw-a\"\nmax_flows = 67_108_865",
        ["`max_flows`: 67108865 is out of range", "67_108_865"];
    shared_attachment: "eth2"
        => "eth1",
        ["the networks `acme` and `vendor` are both attached to interface eth1", "\"eth1\""];
    overlapping_subnets: "\"fd00:1::/64\""
        => "\"fd00:1::/64\", \"10.1.0.128/25\"",
        ["the subnets 10.1.0.0/24 and 10.1.0.128/25 overlap", "\"10.1.0.128/25\""];
    host_bits: "10.1.0.0/24\", \"fd"
        => "10.1.0.7/24\", \"fd",
        ["`subnets`: `10.1.0.7/24` has bits set beyond its prefix length", "\"10.1.0.7/24\""];
    routed_host_bits: "interface = \"eth1\"" => "interface = \"eth1\"\nreachable_from = [\"10.8.0.1/16\"]",
        ["`reachable_from`: `10.8.0.1/16` has bits set beyond its prefix length", "\"10.8.0.1/16\""];
    routed_multicast: "interface = \"eth1\""
        => "interface = \"eth1\"\nreachable_from = [\"10.8.0.0/16\", \"224.0.0.0/8\", \"127.0.0.0/8\"]",
        ["`224.0.0.0/8` is not a prefix that clients can be in", "\"224.0.0.0/8\""],
        ["`127.0.0.0/8` is not a prefix that clients can be in", "\"127.0.0.0/8\""];
    accept_beyond_allow: "accept = [\"acme\"]"
        => "accept = [\"globex\"]",
        ["`accept` lists `globex`, but `allow` does not", "\"globex\""];
    anybody_and_more: "allow = [\"acme\"]"
        => "allow = [\"*\", \"acme\"]",
        ["`allow` lists `*` beside other principals", "\"*\""];
    no_subnets: "[\"10.0.0.0/24\"]" => "[]", ["`subnets` is an empty list", "[]"];
    no_source_addresses: "[\"10.0.0.240/29\"]"
        => "[]",
        ["`source_addresses` is an empty list", "[]"];
    no_security_rules: "[{ from = \"10.1.0.0/24\", ports = [\"80\"] }]"
        => "[]",
        ["`allow` is an empty list", "[]"];
    map_and_port: "port = 80"
        => "port = 80\nmap = { 81 = \"10.0.0.11\" }",
        ["a listener with a `map` has no `port`", "80"];
    map_with_a_bad_port: "port = 80"
        => "map = { http = \"10.0.0.11\", 0 = \"10.0.0.11\" }",
        ["`map`: `http` is not a port or a range of ports", "http"],
        ["`map`: `0` is not a port or a range of ports", "0"];
    map_with_bad_targets: "port = 80"
        => "map = { 81 = \"10.0.0.300\", 82 = 10, 83 = \"10.0.0.11:x\" }",
        ["`81`: `10.0.0.300` is not an IP address", "\"10.0.0.300\""],
        ["`82` must be a target such as \"10.0.0.11:19092\", not a whole number", "10"],
        ["`83`: `x` is not a port or a range of ports", "\"10.0.0.11:x\""];
    map_out_of_reach: "port = 80"
        => "map = { 81 = \"10.0.0.242\", 82 = \"fd00::1\" }",
        ["10.0.0.242 in `vendor` is both a source address of the service `web` and a target of the service `web`",
         "\"10.0.0.240/29\""],
        ["the service `web` has no IPv6 source address", "\"fd00::1\""],
        ["the target fd00::1 is not in a subnet of `vendor`", "\"fd00::1\""];
    map_overlap: "port = 80"
        => "map = { 9093 = \"10.0.0.11\" }",
        ["the listeners on tcp 9093 and 9092-9099 overlap", "\"9092-9099\""];
    map_with_other_ports: "port = 80"
        => "map = { 81-82 = \"10.0.0.11:91-93\" }",
        ["the target names 3 ports, but the listener has 2", "\"10.0.0.11:91-93\""];
    empty_map: "port = 80" => "map = {}", ["`map` is empty", "{}"];
    unknown_stickiness: "on_reject = \"reset\""
        => "stickiness = \"clients\"\non_unhealthy = \"reject\"",
        ["`stickiness` cannot be `clients`", "\"clients\""],
        ["`on_unhealthy` cannot be `reject`", "\"reject\""];
    no_targets: "[[service.target]]\naddress = \"10.0.0.10\"\n"
        => "",
        ["[[service]] has no `target`", "[[service]]"];
    bad_private_name: "on_reject"
        => "private_dns = [\"*\"]\non_reject",
        ["`private_dns`: `*` is not a DNS name, nor one with `*.` before it", "\"*\""];
    too_many_forwarders: "interface = \"eth1\""
        => "interface = \"eth1\"\nforwarders = [\"10.1.0.2\", \"10.1.0.3\", \"10.1.0.4\", \"10.1.0.5\", \"127.0.0.1\"]",
        ["`forwarders` lists 5 name servers",
         "[\"10.1.0.2\", \"10.1.0.3\", \"10.1.0.4\", \"10.1.0.5\", \"127.0.0.1\"]"],
        ["`127.0.0.1` is a loopback address", "\"127.0.0.1\""];
    limit_zero: "flows = 100_000" => "flows = 0", ["`flows`: `0` is not a positive number", "0"];
    rate_with_unknown_unit: "10G"
        => "10Q",
        ["`bits_per_second`: `10Q` is not a positive number", "\"10Q\""];
    relative_path: "name = \"gw-a\""
        => "name = \"gw-a\"\nsocket = \"run/s\"",
        ["`socket`: `run/s` is not an absolute path", "\"run/s\""];
}

/// Declares tests that replace one text of [`VALID`] and expect no fault.
macro_rules! accepts {
    ($($name:ident: $from:literal => $to:literal;)*) => {$(
        #[test]
        fn $name() {
            assert!(VALID.contains($from), "nothing to replace");
            assert_eq!(faults(&VALID.replacen($from, $to, 1)), []);
        }
    )*};
}

accepts! {
    networks_with_the_same_addresses: "[\"10.1.0.0/24\", \"fd00:1::/64\"]"
        => "[\"10.1.0.0/24\", \"fd00:1::/64\", \"10.0.0.0/24\"]";
    one_interface_with_two_vlans: "interface = \"eth2\"" => "interface = \"eth1\"\nvlan = 101";
    a_map_beside_shared_targets: "port = 80"
        => "map = { 81 = \"10.0.0.11\", \"82-83\" = \"192.168.7.7:92-93\", 84 = \"db.internal\" }";
    a_target_by_name: "10.0.0.10" => "db.example.com";
    a_target_behind_the_router: "10.0.0.10" => "192.168.7.7";
    an_endpoint_in_the_services_network: "network = \"acme\"\naddresses = [\"10.1.0.50\", \"fd00:1::50\"]"
        => "network = \"vendor\"\naddresses = [\"10.0.0.50\"]";
    automatic_addresses: "[\"10.1.0.50\", \"fd00:1::50\"]" => "\"auto\"";
    tcp_and_udp_on_one_port: "port = 80"
        => "port = 80\n[[service.listener]]\nprotocol = \"udp\"\nport = 80";
    anybody: "allow = [\"acme\"]" => "allow = [\"*\"]";
    draining: "\"reset\"" => "{ drain = \"30s\" }";
    routed_clients_of_both_families: "interface = \"eth1\""
        => "interface = \"eth1\"\nreachable_from = [\"0.0.0.0/0\", \"fd00:8::/32\", \"10.8.0.0/16\"]";
    one_router_per_family: "subnets = [\"10.0.0.0/24\"]\ngateway = \"10.0.0.1\""
        => "subnets = [\"10.0.0.0/24\"]\ngateway = [\"10.0.0.1\", \"fe80::1\"]";
}
